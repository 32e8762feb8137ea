package apig

import (
	"strings"

	"github.com/apig-go/apig/internal/errorbody"
)

// The most characters of a server's text in an error: enough for every text in the
// service's documentation.
const (
	maxMessage   = 512
	maxCode      = 64
	maxRequestID = 128
)

// subject begins the text of every error of a call; the reason follows. Both parts
// may come from a caller or, in an error that was read from JSON, from a file, and
// both may be empty.
func subject(op, apiID string) string {
	s := "apig:"
	if op != "" {
		s += " " + errorbody.Line(op, maxCode)
	}
	if apiID != "" {
		s += " API " + errorbody.Line(apiID, maxCode)
	}
	if s == "apig:" {
		return "apig"
	}
	return s
}

// reasonOf is the text of an error within another one about the same call.
func reasonOf(err error) string {
	if e, ok := err.(interface{ reason() string }); ok {
		return e.reason()
	}
	return err.Error()
}

// sameOrEmpty compares the ID of an answer, which may leave it out, with the one
// that was asked for.
func sameOrEmpty(got, asked string) bool { return got == "" || strings.EqualFold(got, asked) }
