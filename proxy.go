package apig

import (
	"context"
	"errors"
	"net/http"
	"net/url"
	"strconv"
	"strings"
)

// proxyError is a proxy that did not let a request through: it has refused the
// tunnel (CONNECT), so nothing was sent.
type proxyError struct{ status int }

func (e *proxyError) Error() string {
	return strings.TrimSpace("the proxy refused the connection: " + strconv.Itoa(e.status) + " " + http.StatusText(e.status))
}

// forGood reports whether the proxy will say the same the next time: it forbids
// the way, or does not know the user.
func (e *proxyError) forGood() bool {
	return e.status == http.StatusForbidden || e.status == http.StatusProxyAuthRequired
}

// proxyAnswered is Transport.OnProxyConnectResponse of our own transport.
func proxyAnswered(_ context.Context, _ *url.URL, _ *http.Request, answer *http.Response) error {
	if answer.StatusCode == http.StatusOK {
		return nil
	}
	return &proxyError{answer.StatusCode}
}

// refusedByProxy recognises the refusal of a proxy in the error of a request that
// was not sent, where the caller's own transport leaves nothing of it but the words
// behind the status: net/http reports every other failure on the way to a proxy
// with more than that. Where the words are not those of the standard nothing can
// be told, and err stays what it is.
func refusedByProxy(sender http.RoundTripper, r *http.Request, err error) error {
	var failed *url.Error
	transport, ok := sender.(*http.Transport)
	if !ok || transport.Proxy == nil || r == nil || r.URL.Scheme != "https" || !errors.As(err, &failed) {
		return err
	}
	if proxy, wrong := transport.Proxy(r); wrong != nil || proxy == nil || strings.HasPrefix(proxy.Scheme, "socks") {
		return err
	}
	for status := http.StatusMultipleChoices; status < 600; status++ {
		if text := http.StatusText(status); text != "" && text == failed.Err.Error() {
			return &url.Error{Op: failed.Op, URL: failed.URL, Err: &proxyError{status}}
		}
	}
	return err
}
