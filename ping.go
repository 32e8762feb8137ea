//go:build go1.24

package apig

import (
	"net/http"
	"time"
)

// ping has HTTP/2 connections checked that have been silent for a while. One
// that has died without a word would otherwise hold every call that shares it
// until its time runs out.
func ping(t *http.Transport) {
	t.HTTP2 = &http.HTTP2Config{SendPingTimeout: 15 * time.Second, PingTimeout: 15 * time.Second}
}
