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

// Config says which gateway a Client talks to and how. Endpoint, ProjectID,
// InstanceID and Auth are required. Every other field has a default.
//
// New refuses a duration between zero and 1 ms: the number lacks a unit.
type Config struct {
	// Endpoint is the address of the APIG service, such as
	// https://apig.cn-north-4.myhuaweicloud.com; see the function Endpoint.
	// It must be https: credentials are never sent over plain http, except
	// to a loopback address. It does not contain the version of the API (/v2).
	Endpoint string

	// ProjectID is the project that owns the gateway.
	ProjectID string

	// InstanceID is the dedicated gateway itself.
	InstanceID string

	// Auth puts the credentials on every request; see StaticToken, StaticKeys,
	// TokenAuth and KeyAuth.
	Auth Authenticator

	// HTTPClient sends the requests.
	//
	//   - The Client uses a copy that follows no redirects and has no cookie jar.
	//   - A nil Transport means http.DefaultTransport, as everywhere in net/http.
	//   - A nil HTTPClient means a transport of this Client's own. It uses the
	//     proxy variables of the environment, and gives up a silent HTTP/2
	//     connection after 30 s. In your own transport set the HTTP2 field for that.
	HTTPClient *http.Client

	// AttemptTimeout bounds one attempt, from asking Auth for credentials to the last
	// byte of the answer. Zero means 60 s. The most is 24 h. RetryPolicy has the bound
	// of a whole call.
	AttemptTimeout time.Duration

	// Retry says how often and when a call is attempted again, and how long
	// settling an unknown outcome may take.
	Retry RetryPolicy

	// DisableTags sends remarks exactly as given, without a tag. After a lost
	// answer a publication is then often unknown, and IdempotencyKey is refused.
	DisableTags bool

	// Limiter, if not nil, is asked before each attempt, also before each reading of a
	// history. Requests for credentials do not ask it.
	Limiter Limiter

	// Logger receives a Debug record for each attempt, and a Warn record for each retry
	// and each look at the history that settles outcomes, or tries to. The text of an
	// error may quote the answer. Credentials are never logged, nor are whole bodies
	// and headers. Nil disables logging.
	Logger *slog.Logger

	// UserAgent is put in front of this library's own product token.
	UserAgent string
}

// Limiter paces the attempts of a Client. Wait blocks until one more attempt may be
// made, or returns an error if ctx ends first. *rate.Limiter of golang.org/x/time/rate
// is one. An error of Wait ends the call. The call returns a [*CallError] that wraps it,
// or an [*UnknownError] if the history of a lost change was to be read. That attempt
// sent nothing.
type Limiter interface {
	Wait(ctx context.Context) error
}

// Endpoint returns the address of the APIG service in a region of Huawei Cloud, such
// as cn-north-4. Other clouds have other addresses. For an invalid region name it
// returns a placeholder. New rejects the placeholder with an error that says so.
func Endpoint(region string) string {
	return serviceEndpoint("apig", region)
}

// noRegion stands in place of the address of an invalid region. It has no host, so
// nothing can be sent to it.
const noRegion = "not-a-region"

// serviceEndpoint follows the region tables of the official SDK: the region
// eu-west-101 has a domain of its own.
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

// checkTransfer reports the mistakes in the fields that Config shares with the
// sources of credentials. prefix stands before each field's name.
func (cfg Config) checkTransfer(prefix string, bad *problems) {
	checkEndpoint(prefix+"Endpoint", cfg.Endpoint, bad)
	bad.duration(prefix+"AttemptTimeout", cfg.AttemptTimeout)
	cfg.Retry.check(prefix+"Retry.", bad)
	bad.httpClient(prefix+"HTTPClient", cfg.HTTPClient)
	if cfg.Logger != nil && isNil(cfg.Logger.Handler()) {
		bad.addf("%sLogger has no handler", prefix)
	}
}

// checkEndpoint checks the address of a service that receives credentials.
func checkEndpoint(field, s string, bad *problems) {
	u := checkAddress(field, s, bad)
	if u != nil && u.Scheme != "https" && (u.Scheme != "http" || !isLoopback(u.Hostname())) {
		bad.addf("%s \"%s\" must be https (http only to a loopback address)", field, errorbody.Line(s, maxMessage))
	}
}

// checkAddress checks all of an address but the scheme, and returns it if it is valid.
// Its messages do not repeat the address, which could contain a password.
func checkAddress(field, s string, bad *problems) *url.URL {
	if s == "" {
		bad.addf("%s is empty", field)
		return nil
	}
	u, err := url.Parse(s)
	switch {
	case s == noRegion:
		bad.addf("%s is not the address of a region, whose name is letters, digits and hyphens, such as cn-north-4", field)
	case strings.Contains(s, "@"): // anywhere: a password can hide the rest from url.Parse
		bad.addf("%s must not hold a user or password", field)
	case err != nil || u.Host == "" || u.Hostname() == "":
		bad.addf("%s is not an absolute URL", field)
	case strings.ContainsAny(s, "?#"):
		bad.addf("%s must not have a query or fragment", field)
	case versionSuffix(u.Path) != "":
		bad.addf("%s ends in a version: leave out %s, which each request adds by itself", field, versionSuffix(u.Path))
	default:
		return u
	}
	return nil
}

// versionSuffix returns the version at the end of a path, such as /v2 or /v3.0, or
// nothing.
func versionSuffix(path string) string {
	path = strings.TrimRight(path, "/")
	last := path[strings.LastIndex(path, "/")+1:]
	number := strings.TrimLeft(last, "vV")
	if len(last) != len(number)+1 || number == "" || strings.Trim(number, "0123456789.") != "" {
		return ""
	}
	return "/" + last
}

func isLoopback(host string) bool {
	ip := net.ParseIP(host)
	return host == "localhost" || ip != nil && ip.IsLoopback()
}
