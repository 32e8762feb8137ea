package errorbody

import (
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
)

// The usual form is read as encoding/json reads it, which a number in the object
// brings into play.
func TestParsePlain(t *testing.T) {
	pieces := strings.Fields(`"error_code" "error_msg" "code" "message" "error" "request_id" "title" "A" "B" "" "\u0041"`)
	random := rand.New(rand.NewPCG(1, 2))
	plain := 0
	for range 20_000 {
		var members []string
		for range random.IntN(5) {
			members = append(members, pieces[random.IntN(len(pieces))]+":"+pieces[random.IntN(len(pieces))])
		}
		body := strings.Join(members, ",")
		if _, ok := parsePlain([]byte("{" + body + "}")); ok {
			plain++
		}
		with := body + `,"x":0`
		if body == "" {
			with = `"x":0`
		}
		assert.Equal(t, Parse([]byte("{"+with+"}")), Parse([]byte("{"+body+"}")), body)
	}
	assert.Greater(t, plain, 5_000)
}
