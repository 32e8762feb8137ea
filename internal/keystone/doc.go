// Package keystone tests the client's way of getting tokens against a real
// OpenStack Keystone, whose token API is the one of Huawei's IAM.
//
//	cd internal/keystone && go test ./...
//
// Keystone is installed from Debian's packages if it is missing, which takes
// root and apt-get, 280 MB and a minute. Where that cannot be had the tests
// fail, unless CI_PARTIAL=1 allows them to be skipped. It runs as whoever
// runs the tests, listens on loopback only, keeps everything in a temporary
// folder and ends with the tests.
package keystone
