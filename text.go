package apig

import (
	"strings"

	"github.com/apig-go/apig/internal/errorbody"
)

// Bounds, in characters, of what is taken from an answer into an error: enough
// for every text in the service's documentation.
const (
	maxMessage   = 512
	maxCode      = 64
	maxRequestID = 128
)

// subject begins the text of every error of a call. The rest of it is its reason.
func subject(op, apiID string) string {
	if apiID == "" {
		return "apig: " + op
	}
	return "apig: " + op + " API " + errorbody.Line(apiID, maxCode)
}

// sameRemark compares remarks, of which the service may trim the spaces.
func sameRemark(a, b string) bool { return strings.TrimSpace(a) == strings.TrimSpace(b) }

// sameOrEmpty compares the ID of an answer, which may leave it out, with the one
// that was asked for.
func sameOrEmpty(got, asked string) bool { return got == "" || strings.EqualFold(got, asked) }
