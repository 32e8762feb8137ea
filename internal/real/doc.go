// Package real tests the client with software that others wrote: nginx and HAProxy
// in front of the gateway, Keystone as IAM, and the official SDK, curl and
// keystoneauth as other clients of that gateway.
//
//	go -C internal/real test ./...
//
// It runs on Debian and Ubuntu. Missing packages are installed with apt-get, as
// root. Where that is not possible the tests fail; with CI_PARTIAL=1 they are
// skipped. All programs listen on loopback, keep their files in temporary
// directories and end with the tests.
package real
