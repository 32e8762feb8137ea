package errorbody

import (
	"encoding/base64"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// What decides that a text needs no closer look must never overlook what a closer
// look would mask.
func TestFirstLookOverlooksNothing(t *testing.T) {
	t.Parallel()
	r := rand.New(rand.NewPCG(1, 2))
	const alphabet = "ABCXYZabcxyz0189-_/=.:, {}é"
	random := func(n int) string {
		var b strings.Builder
		for b.Len() < n {
			c := r.IntN(len(alphabet) - 1)
			if c == len(alphabet)-2 {
				b.WriteString("é")
				continue
			}
			b.WriteByte(alphabet[c])
		}
		return b.String()
	}
	masked, whole := 0, 0
	for range 5_000 {
		secret := random(r.IntN(60))
		part := secret[r.IntN(len(secret)/2+1):]
		part = part[:len(part)-r.IntN(len(part)/2+1)]
		switch r.IntN(6) {
		case 0:
			part = base64.StdEncoding.EncodeToString([]byte(random(r.IntN(4)) + part))
		case 1:
			part = base64.RawURLEncoding.EncodeToString([]byte(random(r.IntN(4)) + part))
		case 2:
			part = strings.ToUpper(part)
		case 3:
			part = random(r.IntN(60))
		}
		text := strings.ToValidUTF8(strings.ReplaceAll(random(r.IntN(20))+part+random(r.IntN(20)), "+", ""), "")
		secrets := []string{secret, random(r.IntN(30))}
		want := maskedForms(text, secrets)
		require.Equal(t, want, Clean(text, 1000, secrets), "%q with %q", text, secrets)
		if want == text {
			whole++
		} else {
			masked++
		}
	}
	require.Greater(t, masked, 500)
	require.Greater(t, whole, 500)
}
