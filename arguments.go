package apig

import (
	"fmt"
	"reflect"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/apig-go/apig/internal/errorbody"
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
func (p problems) Error() string { return "apig: " + p.reason() }

func (p problems) reason() string { return "invalid argument: " + strings.Join(p, "; ") }

// Is makes every set of problems an ErrInvalidArgument.
func (p problems) Is(target error) bool { return target == ErrInvalidArgument }

// id checks an ID that goes into a path or a body. The gateway's own are hex
// digits or simple names; what is refused here could change the path.
func (p *problems) id(field, id string) {
	switch {
	case id == "":
		p.addf("%s is empty", field)
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
	return id != "" && id != "." && id != ".."
}

// mostNamed is how many mistakes of one kind a list is reported with.
const mostNamed = 10

// few adds the first of the mistakes that the elements of a list have, and how
// many there are.
func (p *problems) few(mistakes problems) {
	*p = append(*p, mistakes[:min(len(mistakes), mostNamed)]...)
	if len(mistakes) > mostNamed {
		p.addf("and so on, %d mistakes", len(mistakes))
	}
}

// text checks a text that goes into JSON, which would change what is not UTF-8.
func (p *problems) text(field, s string) {
	if !utf8.ValidString(s) {
		p.addf("%s is not valid UTF-8", field)
	}
}

// notNil checks the value of an interface: a nil pointer or function in it is a
// panic of the first call.
func (p *problems) notNil(field string, value any) {
	if value != nil && isNil(value) {
		p.addf("%s is a nil %T", field, value)
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
func (p *problems) remark(s string, most int) {
	if p.text("Remark", s); !utf8.ValidString(s) {
		return
	}
	if n := utf8.RuneCountInString(s); n > most {
		p.addf("Remark has %d characters, at most %d are allowed", n, most)
	}
}
