//go:build !go1.24

package apig

import "net/http"

// ping does nothing: before Go 1.24 net/http cannot be told to check its HTTP/2
// connections.
func ping(*http.Transport) {}
