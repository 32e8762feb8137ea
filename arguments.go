package apig

import (
	"fmt"
	"net/http"
	"reflect"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/apig-go/apig/internal/errorbody"
)

// problems collects the mistakes in a caller's arguments, so that one error
// reports all of them.
type problems []string

func (p *problems) addf(format string, args ...any) {
	*p = append(*p, fmt.Sprintf(format, args...))
}

// err is nil if there are no problems.
func (p problems) err() error {
	if len(p) == 0 {
		return nil
	}
	return &argumentError{strings.Join(p, "; ")}
}

// argumentError is an ErrInvalidArgument.
type argumentError struct{ mistakes string }

// Error is one line that names every mistake.
func (e *argumentError) Error() string { return "apig: " + e.reason() }

func (e *argumentError) reason() string { return "invalid argument: " + e.mistakes }

// Is reports whether target is ErrInvalidArgument.
func (e *argumentError) Is(target error) bool { return target == ErrInvalidArgument }

// duration checks a duration. Zero means the default. One below a
// millisecond is a number without a unit, such as 120 in place of 120*time.Second.
func (p *problems) duration(field string, d time.Duration) {
	switch {
	case d < 0:
		p.addf("%s is negative", field)
	case d > 0 && d < time.Millisecond:
		p.addf("%s is %v, below 1ms: the number lacks a unit, such as time.Second", field, d)
	case d > longestWait:
		p.addf("%s %v is above %v", field, d, longestWait)
	}
}

// maxID bounds an ID, in bytes. The gateway's own have 32, or 36 with hyphens.
const maxID = 255

// id checks an ID that goes into a path or a body. The gateway's own IDs are hex
// digits or simple names. An ID that is refused here could change the path.
func (p *problems) id(field, id string) {
	switch {
	case id == "":
		p.addf("%s is empty", field)
	case len(id) > maxID:
		p.addf("%s has %d bytes, an ID has at most %d", field, len(id), maxID)
	case !isID(id):
		p.addf("%s \"%s\" is not an ID", field, errorbody.Line(id, maxCode))
	}
}

func isID(id string) bool {
	for _, r := range id {
		switch {
		case r >= '0' && r <= '9', r|0x20 >= 'a' && r|0x20 <= 'z': // nearly all are
		case unicode.IsControl(r), unicode.IsSpace(r), r == utf8.RuneError, strings.ContainsRune("/?#%\\", r):
			return false
		}
	}
	return id != "" && id != "." && id != ".." && len(id) <= maxID
}

// idOrEmpty checks an ID that may be missing.
func (p *problems) idOrEmpty(field, id string) {
	if id != "" {
		p.id(field, id)
	}
}

// checkAPI checks the IDs of an API and of an environment.
func checkAPI(apiID, envID string) error {
	var bad problems
	bad.id("APIID", apiID)
	bad.id("EnvID", envID)
	return bad.err()
}

// mostNamed is the most mistakes of a list that an error names.
const mostNamed = 10

// few adds the first mistakes of a list's elements, and the number of all.
func (p *problems) few(mistakes problems) {
	*p = append(*p, mistakes[:min(len(mistakes), mostNamed)]...)
	if len(mistakes) > mostNamed {
		p.addf("and more: %d mistakes in total", len(mistakes))
	}
}

// text checks a text that goes into JSON. encoding/json would replace bytes that
// are not UTF-8.
func (p *problems) text(field, s string) {
	if !utf8.ValidString(s) {
		p.addf("%s is not valid UTF-8", field)
	}
}

// notNil checks the value of an interface. A nil pointer or function in it would
// make the first call panic.
func (p *problems) notNil(field string, value any) {
	if value != nil && isNil(value) {
		p.addf("%s is a nil %T", field, value)
	}
}

// httpClient checks a caller's client. A negative Timeout means none, as in net/http.
func (p *problems) httpClient(field string, hc *http.Client) {
	if hc != nil {
		p.notNil(field+".Transport", hc.Transport)
		p.duration(field+".Timeout", min(max(hc.Timeout, 0), longestWait))
	}
}

// isNil reports whether v is nil, or a pointer or function that is.
func isNil(v any) bool {
	switch r := reflect.ValueOf(v); r.Kind() {
	case reflect.Invalid:
		return true
	case reflect.Pointer, reflect.Func:
		return r.IsNil()
	}
	return false
}

// remark checks a remark. The service counts characters, not bytes.
func (p *problems) remark(s string) {
	if p.text("Remark", s); !utf8.ValidString(s) {
		return
	}
	if n := utf8.RuneCountInString(s); n > maxRemark {
		p.addf("Remark has %d characters, at most %d are allowed", n, maxRemark)
	}
}
