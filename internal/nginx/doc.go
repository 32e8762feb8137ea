// Package nginx tests the client through a real nginx: what a load balancer
// does to a publish when the gateway behind it dies, hangs or restarts, when
// it limits, refuses or reloads, and when it closes a connection just as the
// next request is on its way.
//
// Every test holds what the client reports against the journal of the gateway,
// and fails if nginx's logs do not show that the fault has happened.
//
//	cd internal/nginx && go test ./...
//
// nginx is installed if it is missing, which takes root and apt-get. Where that
// cannot be had the tests fail, unless CI_PARTIAL=1 allows them to be
// skipped. It listens on loopback only and ends with the tests.
package nginx
