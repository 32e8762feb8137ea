package errorbody

import (
	"strings"
	"testing"
)

const benchBody = `{"error_code":"APIG.3002","error_msg":"API 5f918d104dc84480a75166ba99efff21 does not exist"}`

// benchToken is like a token of IAM: base64 with other characters.
func benchToken(n int) string {
	const alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+-"
	var b strings.Builder
	b.WriteString("MIIQ")
	state := uint32(1)
	for b.Len() < n {
		state = state*1664525 + 1013904223
		b.WriteByte(alphabet[state>>26])
	}
	return b.String()
}

func BenchmarkParse(b *testing.B) {
	body := []byte(benchBody)
	b.ReportAllocs()
	for b.Loop() {
		if Parse(body).Code == "" {
			b.Fatal("nothing found")
		}
	}
}

func BenchmarkClean(b *testing.B) {
	const message = "API 5f918d104dc84480a75166ba99efff21 does not exist"
	short, long := benchToken(60), benchToken(4000)
	for _, bm := range []struct{ name, text, secret string }{
		{"404/60", message, short},
		{"404/4000", message, long},
		{"404/1MiB", message, benchToken(1 << 20)},
		{"words/4000", "The throttling threshold has been reached.", long},
		{"code/4000", "APIG.3002", long},
		{"escapes/4000", `expected \"env_id\" & found 100%25`, long},
		{"echo/60", "token " + short + " expired", short},
		{"echo/4000", "token " + long + " expired", long},
		{"512/1MiB", strings.Repeat("Lorem ipsum dolor.", 30)[:512], benchToken(1 << 20)},
		{"512 shared/1MiB", benchToken(1 << 20)[4000:4512], benchToken(1 << 20)},
		{"1MiB/60", strings.Repeat("Lorem ipsum dolor.", 60000), short},
		{"1MiB shared/1MiB", benchToken(1 << 20)[5:], benchToken(1 << 20)},
		{"1MiB of one letter/1MiB", strings.Repeat("a", 1<<20), strings.Repeat("a", 1<<20)},
		{"1MiB of backslashes/1MiB", strings.Repeat(`\`, 1<<20), strings.Repeat(`\`, 1<<20)},
	} {
		b.Run(bm.name, func(b *testing.B) {
			secrets := []string{bm.secret}
			b.ReportAllocs()
			for b.Loop() {
				Clean(bm.text, 512, secrets)
			}
		})
	}
}
