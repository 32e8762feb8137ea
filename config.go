package apig

import (
	"context"
	"log/slog"
	"net"
	"net/http"
	"net/url"
	"strings"
	"time"
	"unicode"

	"github.com/apig-go/apig/internal/errorbody"
)

// Config says which gateway a Client talks to and how. Its zero value is not
// usable: Endpoint, ProjectID, InstanceID and Auth are required, everything
// else has a default.
type Config struct {
	// Endpoint is the address of the APIG service, such as
	// https://apig.cn-north-4.myhuaweicloud.com; see the function Endpoint.
	// It must be https: credentials are never sent over plain http, except
	// to a loopback address.
	Endpoint string

	// ProjectID is the project that owns the gateway.
	ProjectID string

	// InstanceID is the dedicated gateway itself.
	InstanceID string

	// Auth puts the credentials on every request; see StaticToken and
	// TokenAuth.
	Auth Authenticator

	// HTTPClient sends the requests. It is copied, never changed: the copy
	// refuses redirects and has no cookie jar. A nil Transport in it means
	// http.DefaultTransport, as everywhere in net/http. A nil HTTPClient
	// means a transport of this Client's own, which honours the proxy
	// variables of the environment and gives up an HTTP/2 connection that has
	// died without a word after 30 s. In a transport of your own set its HTTP2
	// field for that.
	HTTPClient *http.Client

	// AttemptTimeout bounds one attempt, from connecting to the last byte of
	// the answer. Zero means 60 s. RetryPolicy says what bounds a whole call.
	AttemptTimeout time.Duration

	// Retry says how often and when an attempt is repeated, and how long an
	// unknown outcome may take to be settled.
	Retry RetryPolicy

	// Limiter, if there is one, is asked before each attempt.
	Limiter Limiter

	// Logger gets one Debug record an attempt and one Warn record for each
	// repetition and each settling of unknown outcomes, never a credential or a body,
	// and of the headers only the request ID. Nil means silence.
	Logger *slog.Logger

	// UserAgent is put in front of this library's own product token.
	UserAgent string
}

// Limiter paces the attempts of a Client. Wait blocks until one more attempt
// may be made, or returns an error if ctx ends first. *rate.Limiter of
// golang.org/x/time/rate is one. Its error ends the call: it is in a [*CallError],
// and in that attempt nothing was sent.
type Limiter interface {
	Wait(ctx context.Context) error
}

// Endpoint returns the address of the APIG service in a region of Huawei
// Cloud, such as cn-north-4. Other clouds and private ones have addresses of
// their own. For what cannot be a region it returns a text that is no address, and
// that New refuses by name.
func Endpoint(region string) string {
	return serviceEndpoint("apig", region)
}

// noRegion stands in place of an address where the region is not one. As it has
// no host, nothing can be sent there.
const noRegion = "not-a-region"

// serviceEndpoint follows the region tables of the official SDK: the European
// site serves its region eu-west-101 from a domain of its own.
func serviceEndpoint(service, region string) string {
	if !isLabel(region) {
		return noRegion
	}
	domain := "myhuaweicloud.com"
	if region == "eu-west-101" {
		domain = "myhuaweicloud.eu"
	}
	return "https://" + service + "." + region + "." + domain
}

// isLabel reports whether s can be one part of a name in the DNS, as a region is.
func isLabel(s string) bool {
	if s == "" || len(s) > 63 || s[0] == '-' || s[len(s)-1] == '-' {
		return false
	}
	return !strings.ContainsFunc(s, func(r rune) bool {
		return (r < 'a' || r > 'z') && (r < 'A' || r > 'Z') && (r < '0' || r > '9') && r != '-'
	})
}

// check reports all mistakes in cfg.
func (cfg Config) check() error {
	var bad problems
	cfg.checkTransfer("", &bad)
	bad.id("ProjectID", cfg.ProjectID)
	bad.id("InstanceID", cfg.InstanceID)
	bad.notNil("Auth", cfg.Auth)
	if cfg.Auth == nil {
		bad.addf("Auth is nil")
	} else if static, ok := cfg.Auth.(interface{ check() error }); ok {
		if err := static.check(); err != nil {
			bad.addf("Auth: %v", err)
		}
	}
	bad.notNil("Limiter", cfg.Limiter)
	if strings.ContainsFunc(cfg.UserAgent, unicode.IsControl) {
		bad.addf("UserAgent has a control character")
	}
	return bad.err()
}

// checkTransfer reports the mistakes in where and how requests are sent, which
// the sources of credentials share. The fields' names begin with prefix.
func (cfg Config) checkTransfer(prefix string, bad *problems) {
	checkEndpoint(prefix+"Endpoint", cfg.Endpoint, bad)
	if cfg.AttemptTimeout < 0 {
		bad.addf("%sAttemptTimeout is negative", prefix)
	}
	cfg.Retry.check(prefix+"Retry.", bad)
	if cfg.HTTPClient != nil {
		bad.notNil(prefix+"HTTPClient.Transport", cfg.HTTPClient.Transport)
	}
	if cfg.Logger != nil && isNil(cfg.Logger.Handler()) {
		bad.addf("%sLogger has no handler", prefix)
	}
}

// checkEndpoint checks the address of a service that is about to be sent
// credentials.
func checkEndpoint(field, s string, bad *problems) {
	u := checkAddress(field, s, bad)
	if u != nil && u.Scheme != "https" && (u.Scheme != "http" || !isLoopback(u.Hostname())) {
		bad.addf("%s \"%s\" must be https (http only to a loopback address)", field, errorbody.Line(s, maxMessage))
	}
}

// checkAddress checks an address but for its scheme, and returns it if it is one.
// It never repeats the address in its message: that could hold a password.
func checkAddress(field, s string, bad *problems) *url.URL {
	if s == "" {
		bad.addf("%s is empty", field)
		return nil
	}
	u, err := url.Parse(s)
	switch {
	case s == noRegion:
		bad.addf("%s is not the address of a region, whose name is letters, digits and hyphens, such as cn-north-4", field)
	case strings.Contains(s, "@"): // wherever it is: a password can hide the rest from url.Parse
		bad.addf("%s must not hold a user or password", field)
	case err != nil || u.Host == "" || u.Hostname() == "":
		bad.addf("%s is not an absolute URL", field)
	case strings.ContainsAny(s, "?#"):
		bad.addf("%s must not have a query or fragment", field)
	default:
		return u
	}
	return nil
}

func isLoopback(host string) bool {
	ip := net.ParseIP(host)
	return host == "localhost" || ip != nil && ip.IsLoopback()
}
