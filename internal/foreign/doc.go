// Package foreign tests apigtest with clients that others wrote, unchanged: what
// works with the service has to work with its fake. It takes the whole lifecycle
// of a publication through curl, through Debian's keystoneauth and
// openstackclient, and holds what they report against the journal of the
// gateway.
//
// It also puts Prism, a proxy that validates requests and answers, between apig
// and the gateway, with a description of the endpoints that was written from
// their documentation alone (openapi.yaml).
//
//	cd internal/foreign && go test ./...
//
// What is missing is installed: Debian's packages, which takes root and apt-get,
// and Prism from npm, into the user's cache directory. Where that cannot be had
// the tests fail, unless CI_PARTIAL=1 allows them to be skipped. All servers
// listen on loopback only and end with the tests.
package foreign
