// Package proxies tests the client through two real proxies: HAProxy, a load
// balancer in front of the gateway, and squid, through which companies let
// their programs out.
//
// Every test holds what the client reports against the journal of the gateway,
// fails unless the proxy's log or the gateway shows that the fault has happened,
// and looks for credentials in all that the proxy has written.
//
//	cd internal/proxies && go test ./...
//
// The proxies are installed from Debian's packages if they are missing, which
// takes root and apt-get. Where they cannot be had the tests fail, unless
// CI_PARTIAL=1 allows them to be skipped. They listen on loopback only and end
// with the tests.
package proxies
