package apig

import (
	"fmt"
	"net"
	"net/url"
	"strings"
	"unicode"
	"unicode/utf8"
)

// problems collects the mistakes in a caller's arguments, so that all of them
// are reported at once.
type problems []string

func (p *problems) addf(format string, args ...any) {
	*p = append(*p, fmt.Sprintf(format, args...))
}

// err is nil if there are no problems.
func (p problems) err() error {
	if len(p) == 0 {
		return nil
	}
	return p
}

// Error is one line that names every mistake.
func (p problems) Error() string {
	return ErrInvalidArgument.Error() + ": " + strings.Join(p, "; ")
}

// Is makes every set of problems an ErrInvalidArgument.
func (p problems) Is(target error) bool { return target == ErrInvalidArgument }

// id checks an ID that goes into a path or a body. The gateway's own are hex
// digits or simple names; what is refused here could change the path.
func (p *problems) id(field, id string) {
	switch {
	case id == "":
		p.addf("%s is empty", field)
	case id == "." || id == "..",
		strings.ContainsAny(id, "/?#%\\"),
		strings.ContainsFunc(id, func(r rune) bool { return unicode.IsControl(r) || unicode.IsSpace(r) }),
		!utf8.ValidString(id):
		p.addf("%s %q is not an ID", field, cut(id, 64))
	}
}

// remark checks a remark. The service counts characters, not bytes.
func (p *problems) remark(s string, most int) {
	if !utf8.ValidString(s) {
		p.addf("Remark is not valid UTF-8")
	} else if n := utf8.RuneCountInString(s); n > most {
		p.addf("Remark has %d characters, at most %d are allowed", n, most)
	}
}

// endpoint checks the address of a service that is about to be sent
// credentials. It never repeats the address in its message if that could hold
// a password.
func (p *problems) endpoint(field, s string) {
	if s == "" {
		p.addf("%s is empty", field)
		return
	}
	u, err := url.Parse(s)
	switch {
	case strings.Contains(s, "@"): // wherever it is: a password can hide the rest from url.Parse
		p.addf("%s must not hold a user or password", field)
	case err != nil || u.Host == "" || u.Hostname() == "":
		p.addf("%s is not an absolute URL", field)
	case strings.ContainsAny(s, "?#"):
		p.addf("%s must not have a query or fragment", field)
	case u.Scheme == "https", u.Scheme == "http" && isLoopback(u.Hostname()):
	default:
		p.addf("%s %q must be https (http only to a loopback address)", field, s)
	}
}

func isLoopback(host string) bool {
	ip := net.ParseIP(host)
	return host == "localhost" || ip != nil && ip.IsLoopback()
}

// check reports all mistakes in cfg.
func (cfg Config) check() error {
	var bad problems
	cfg.checkTransfer("", &bad)
	bad.id("ProjectID", cfg.ProjectID)
	bad.id("InstanceID", cfg.InstanceID)
	if cfg.Auth == nil {
		bad.addf("Auth is nil")
	} else if static, ok := cfg.Auth.(interface{ check() error }); ok {
		if err := static.check(); err != nil {
			bad.addf("Auth: %v", err)
		}
	}
	if strings.ContainsFunc(cfg.UserAgent, unicode.IsControl) {
		bad.addf("UserAgent has a control character")
	}
	return bad.err()
}

// checkTransfer reports the mistakes in where and how requests are sent, which
// the sources of credentials share. The fields' names begin with prefix.
func (cfg Config) checkTransfer(prefix string, bad *problems) {
	bad.endpoint(prefix+"Endpoint", cfg.Endpoint)
	if cfg.AttemptTimeout < 0 {
		bad.addf("%sAttemptTimeout is negative", prefix)
	}
	cfg.Retry.check(prefix+"Retry.", bad)
}
