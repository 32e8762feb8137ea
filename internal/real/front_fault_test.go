package real

import (
	"context"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/apig-go/apig"
	"github.com/apig-go/apig/internal/gateway"
)

// result is the report of a publish that met a fault.
type result string

const (
	again   result = "a record from the answer to a second request"
	history result = "a record from the history"
	unknown result = "unknown"
	refused result = "not applied"
)

func requireResult(t *testing.T, want result, rec *apig.PublishRecord, err error) {
	t.Helper()
	got := refused
	switch {
	case err == nil && rec.Recovered:
		got = history
	case err == nil:
		got = again
	case apig.OutcomeOf(err) == apig.Unknown:
		got = unknown
	}
	require.Equal(t, want, got, "%v", err)
}

// TestOutcome lets the gateway fail at each point of a call. The client gets a page
// of the load balancer, half an answer, or none.
func TestOutcome(t *testing.T) {
	const (
		timeout = 3 * time.Second         // of the load balancer
		late    = 1500 * time.Millisecond // the history is read four seconds after the timeout: twice SettleWait
	)
	for _, test := range []struct {
		name   string
		fault  gateway.Fault
		status string
		want   result // of a publish
	}{
		{"closes before applying", gateway.CloseBefore(), "502", again},
		{"closes after applying", gateway.ApplyThenClose(), "502", history},
		{"closes, then applies", gateway.CloseThenApply(late / 4), "502", history},
		{"resets after applying", gateway.Fault{Apply: gateway.ApplyFirst, End: gateway.EndReset}, "502", history},
		{"breaks off", gateway.Cut(0), "201", history},
		{"hangs and never applies", gateway.Hang(), "504", again},
		{"hangs and has applied", gateway.Fault{Apply: gateway.ApplyFirst, End: gateway.EndHang}, "504", history},
		{"hangs and applies late", gateway.Fault{Apply: gateway.ApplyLater, After: timeout + late, End: gateway.EndHang}, "504", history},
	} {
		t.Run(test.name, func(t *testing.T) {
			everyWay(t, func(t *testing.T, k kind, proto protocol, c change) {
				f := startFront(t, k, proto, directives{})
				client := f.client(nil)
				apiID := f.published(client)

				f.gateway.Inject(test.fault.On(gateway.OpAction))
				rec, err := c.make(context.Background(), client, apiID, "1.4.2")

				f.end(c, rec, err)
				assert.Equal(t, 1, f.gateway.Struck())
				if k.name == "nginx" || test.status != "502" {
					assert.Equal(t, test.status, append(f.answers(), "none")[0])
				} // HAProxy closes a kept connection without an answer, and logs nothing
				if c.name == publish.name {
					requireResult(t, test.want, rec, err)
				}
			})
		})
	}
}

// TestThrottled calls more often than once in two seconds, the limit of the load
// balancer. Its refusal says when to try again.
func TestThrottled(t *testing.T) {
	const interval = 2 * time.Second
	limits := map[string]string{
		"nginx": "limit_req zone=calls;",
		"HAProxy": `stick-table type integer size 1 expire 10s store gpc0
	http-request track-sc0 int(1) if METH_POST
	http-request deny deny_status 429 content-type text/plain string "Slow down" hdr Retry-After 2 if METH_POST { sc0_inc_gpc0 eq 2 }`,
	}
	everyWay(t, func(t *testing.T, k kind, proto protocol, c change) {
		for _, patient := range []bool{true, false} {
			f := startFront(t, k, proto, directives{Front: limits[k.name]})
			client := f.client(func(cfg *apig.Config) {
				if !patient {
					cfg.Retry.MaxAttempts = 1
				}
			})
			apiID := f.published(client)
			start := time.Now()
			rec, err := c.make(context.Background(), client, apiID, "1.4.2")
			if took := time.Since(start); patient {
				f.finish(c, rec, err, "429", "201")
				requireResult(t, again, rec, err)
				assert.GreaterOrEqual(t, took, interval)
				continue
			}
			f.finish(c, rec, err, "429")
			requireResult(t, refused, rec, err)
			page := requirePage(t, err, http.StatusTooManyRequests, apig.ErrThrottled)
			assert.Equal(t, interval, page.RetryAfter)
		}
	})
}

// requirePage fails unless err was made from a page of the load balancer.
func requirePage(t *testing.T, err error, status int, want error) *apig.APIGError {
	t.Helper()
	require.ErrorIs(t, err, want)
	var page *apig.APIGError
	require.ErrorAs(t, err, &page)
	assert.Equal(t, status, page.StatusCode)
	return page
}

// eachProtocol runs a test with one load balancer, each protocol and Publish.
func eachProtocol(t *testing.T, k kind, test func(*testing.T, func(directives) *front)) {
	t.Parallel()
	for _, proto := range protocols {
		t.Run(string(proto), func(t *testing.T) {
			t.Parallel()
			test(t, func(d directives) *front { return startFront(t, k, proto, d) })
		})
	}
}

// TestLongToken sends a token that is too long for nginx's buffers.
func TestLongToken(t *testing.T) {
	eachProtocol(t, kinds[0], func(t *testing.T, start func(directives) *front) {
		f := start(directives{})
		apiID := f.published(f.client(nil))
		client := f.client(func(cfg *apig.Config) {
			inVain(cfg)
			cfg.Auth = apig.StaticToken(strings.Repeat("t", 40_000))
		})
		rec, err := publish.make(context.Background(), client, apiID, "1.4.2")
		if f.proto == http2 { // nginx closes the connection, also when the history is read
			f.end(publish, rec, err)
			assert.Contains(t, f.read("error.log"), "client sent too large header field")
			requireResult(t, unknown, rec, err)
			return
		}
		f.finish(publish, rec, err, "400")
		requirePage(t, err, http.StatusBadRequest, apig.ErrBadRequest)
	})
}

// TestLargeBody sends a body that is larger than nginx allows.
func TestLargeBody(t *testing.T) {
	eachProtocol(t, kinds[0], func(t *testing.T, start func(directives) *front) {
		f := start(directives{Front: "client_max_body_size 300;"})
		client := f.client(nil)
		apiID := f.published(client)
		rec, err := publish.make(context.Background(), client, apiID, strings.Repeat("版", 230))
		f.finish(publish, rec, err, "413")
		requirePage(t, err, http.StatusRequestEntityTooLarge, apig.ErrBadRequest)
	})
}

// TestNoServer publishes while HAProxy has no gateway to send to. Its 503 does not say
// that nothing was sent.
func TestNoServer(t *testing.T) {
	eachProtocol(t, kinds[1], func(t *testing.T, start func(directives) *front) {
		for _, back := range []bool{true, false} {
			f := start(directives{})
			client := f.client(nil)
			if !back {
				client = f.client(inVain)
			}
			apiID := f.published(client)
			f.tell("disable server gateway/gateway")
			var rec *apig.PublishRecord
			var err error
			done := make(chan struct{})
			go func() {
				defer close(done)
				rec, err = publish.make(context.Background(), client, apiID, "1.4.2")
			}()
			await(t, "the first request", func() bool { return len(f.answers()) > 0 })
			if back {
				f.tell("enable server gateway/gateway")
				<-done
				f.finish(publish, rec, err, "503", "201")
				requireResult(t, again, rec, err)
				continue
			}
			<-done
			f.finish(publish, rec, err, "503")
			requireResult(t, unknown, rec, err)
			requirePage(t, err, http.StatusServiceUnavailable, apig.ErrOutcomeUnknown)
		}
	})
}

// TestSilentDrop has HAProxy forget the connection of a publish, without a word to the
// client, once or each time.
func TestSilentDrop(t *testing.T) {
	eachProtocol(t, kinds[1], func(t *testing.T, start func(directives) *front) {
		for _, once := range []bool{true, false} {
			f := start(directives{Front: "http-request silent-drop if { method -m str -f dropped }"})
			client := f.client(func(cfg *apig.Config) {
				cfg.AttemptTimeout = 5 * time.Second
				cfg.Retry.SettleWait = 500 * time.Millisecond
				cfg.Retry.MaxAttempts = 2
			})
			apiID := f.published(client)
			f.tell("add acl dropped POST")
			var rec *apig.PublishRecord
			var err error
			done := make(chan struct{})
			go func() {
				defer close(done)
				rec, err = publish.make(context.Background(), client, apiID, "1.4.2")
			}()
			await(t, "the first request", func() bool { return len(f.answers()) > 0 })
			if once {
				f.tell("clear acl dropped")
				<-done
				f.finish(publish, rec, err, "-1", "201")
				requireResult(t, again, rec, err)
				continue
			}
			<-done
			// The history can be read, and shows that nothing was applied.
			f.finish(publish, rec, err, "-1", "-1")
			requireResult(t, refused, rec, err)
		}
	})
}

// TestRepeatingBalancer has HAProxy send a publish again after its answer was lost. The
// client sees one good answer, the gateway makes two versions: a documented limit. The
// second case is the rule that keeps HAProxy from doing this to a POST.
func TestRepeatingBalancer(t *testing.T) {
	const (
		repeat = "option http-buffer-request\n\tretry-on all-retryable-errors"
		safe   = repeat + "\n\thttp-request disable-l7-retry if METH_POST"
	)
	eachProtocol(t, kinds[1], func(t *testing.T, start func(directives) *front) {
		for backend, versions := range map[string]int{repeat: 2, safe: 1} {
			f := start(directives{Backend: backend})
			client := f.client(nil)
			apiID := f.published(client)
			f.gateway.Inject(gateway.ApplyThenClose().On(gateway.OpAction))
			rec, err := publish.make(context.Background(), client, apiID, "1.4.2")
			require.NoError(t, err)
			applied := f.gateway.Journal()[f.made:]
			require.Len(t, applied, versions)
			assert.Equal(t, applied[versions-1].VersionID, rec.VersionID, "the version in effect")
			assert.Equal(t, versions == 1, rec.Recovered)
		}
	})
}

// TestForwardProxy has HAProxy refuse CONNECT, as a company's proxy does. The client
// knows that nothing was sent to the gateway, takes the refusal for none of the gateway,
// and shows the password of the proxy nowhere.
func TestForwardProxy(t *testing.T) {
	t.Parallel()
	const password = "keep-me-out-of-logs"
	for _, status := range []string{"403", "407"} {
		t.Run(status, func(t *testing.T) {
			t.Parallel()
			f := startFront(t, kinds[1], http1, directives{Front: "http-request deny deny_status " + status + " if METH_CONNECT"})
			client := f.client(func(cfg *apig.Config) {
				cfg.HTTPClient.Transport.(*http.Transport).Proxy = func(*http.Request) (*url.URL, error) {
					return url.Parse("https://mallory:" + password + "@" + f.address)
				}
				cfg.Endpoint = "https://apig.example.com"
			})
			rec, err := publish.make(context.Background(), client, f.gateway.AddAPI("orders"), "1.4.2")
			f.finish(publish, rec, err)
			requireResult(t, refused, rec, err)
			assert.Contains(t, f.read("out.log"), `"CONNECT apig.example.com:443 HTTP/1.1" `+status)
			assert.NotErrorIs(t, err, apig.ErrForbidden)
			assert.NotContains(t, err.Error()+f.read("out.log"), password)
		})
	}
}
