// Package toxiproxy tests the client over a bad network: through Toxiproxy,
// which resets, silences, cuts, delays and refuses real connections, over
// HTTP/1.1 and HTTP/2.
//
// Every test holds what the client reports against the journal of the gateway,
// and fails if the network has not done what it was to do.
//
//	cd internal/toxiproxy && go test -race ./...
package toxiproxy
