package proxies

import (
	"context"
	"crypto/tls"
	"net/url"
	"strings"
	"syscall"
	"testing"

	"github.com/stretchr/testify/assert"

	"github.com/apig-go/apig"
)

// Whom squid lets out, where it asks.
const (
	user     = "alice"
	password = "keep-me-out-of-logs"
	hashed   = "$apr1$tests$g8RDy1TrA9uOvmzVfop1r0"
)

// authenticated lets nobody out who has no password.
const authenticated = `auth_param basic program /usr/lib/squid/basic_ncsa_auth passwords
auth_param basic children 1
acl known proxy_auth REQUIRED
http_access deny !known`

// authenticate makes the user known to squid and to the clients made from now
// on.
func (o *outlet) authenticate() {
	o.t.Helper()
	o.write("passwords", []byte(user+":"+hashed+"\n"))
	o.proxy.User = url.UserPassword(user, password)
}

// refusals are the ways in which squid does not let a client out.
var refusals = []struct {
	name, rules, status string
}{
	{"forbidden", "http_access deny CONNECT", "403"},
	{"unknown user", authenticated, "407"},
}

// TestProxyRefuses has squid refuse the tunnel: nothing can have been sent. The
// client says that it was the proxy that refused, not the gateway, and asks once
// only: neither refusal goes away by itself, and passwords that are tried again
// and again lock accounts.
func TestProxyRefuses(t *testing.T) {
	t.Parallel()
	for _, test := range refusals {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			everyWay(t, func(t *testing.T, proto protocol, c change) {
				o := startOutlet(t, proto, test.rules)
				o.write("passwords", nil)
				o.proxy.User = url.UserPassword("mallory", password)

				rec, err := o.run(c, o.client(inVain), context.Background(), o.addAPI())

				o.finish(0, err, test.status)
				requireNotApplied(t, rec, err)
				assert.NotContains(t, err.Error(), password)
				assert.Contains(t, strings.ToLower(err.Error()), "proxy")
				assert.NotErrorIs(t, err, apig.ErrForbidden, "that is the gateway's")
			})
		})
	}
}

// TestProxyWithoutOrigin has squid find nobody at the address of the gateway,
// which it answers with 503 in place of a tunnel: nothing can have been sent, so
// the client tries as often as it may.
func TestProxyWithoutOrigin(t *testing.T) {
	t.Parallel()
	everyWay(t, func(t *testing.T, proto protocol, c change) {
		o := startOutlet(t, proto, "")
		o.endpoint = "https://" + nobody

		rec, err := o.run(c, o.client(inVain), context.Background(), o.addAPI())

		o.finish(0, err, "503", "503", "503", "503") // MaxAttempts
		requireNotApplied(t, rec, err)
	})
}

// TestDeadProxy calls when the proxy has gone.
func TestDeadProxy(t *testing.T) {
	t.Parallel()
	everyWay(t, func(t *testing.T, proto protocol, c change) {
		o := startOutlet(t, proto, authenticated)
		o.authenticate()
		client := o.client(inVain)
		req := o.publish(client)
		client.CloseIdleConnections()
		o.kill()

		rec, err := o.run(c, client, context.Background(), req)

		o.finish(0, err)
		requireNotApplied(t, rec, err)
		assert.ErrorIs(t, err, syscall.ECONNREFUSED)
		assert.NotContains(t, err.Error(), password)
	})
}

// TestStranger does not trust the certificate that comes through the tunnel:
// nothing is sent at all, and nothing repeated.
func TestStranger(t *testing.T) {
	t.Parallel()
	everyWay(t, func(t *testing.T, proto protocol, c change) {
		o := startOutlet(t, proto, "")
		o.roots = nil // the system's

		rec, err := o.run(c, o.client(nil), context.Background(), o.addAPI())

		o.finish(0, err, "200")
		requireNotApplied(t, rec, err)
		assert.ErrorAs(t, err, new(*tls.CertificateVerificationError))
	})
}
