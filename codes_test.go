package apig

import (
	"fmt"
	"os"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// The meaning of every code, with the statuses that the service's own tables and
// pages give it and, where the sentinel is not that of the status, the reason.
func TestCodes(t *testing.T) {
	const (
		permission = "a matter of permissions: no other credentials of this user and no other request help"
		account    = "new credentials do not cure what is wrong with the account"
		passing    = "the state of the gateway, which passes; the request is right"
	)
	type row struct {
		statuses []int
		sentinel error
		verdict  verdict // with the first status
		reason   string  // where the sentinel is not that of the status
	}
	codes := map[Code]row{
		"APIG.1000":  {[]int{401}, ErrUnauthorized, renew, ""},
		"APIG.1001":  {[]int{401}, ErrUnauthorized, renew, ""},
		"APIG.1002":  {[]int{401}, ErrUnauthorized, renew, ""},
		"APIG.1003":  {[]int{401}, ErrUnauthorized, final, ""},
		"APIG.1005":  {[]int{403, 401}, ErrForbidden, final, permission + "; the table says 401, the pages say 403"},
		"APIG.1007":  {[]int{401}, ErrUnauthorized, final, ""},
		"APIG.1008":  {[]int{401}, ErrUnauthorized, final, ""},
		"APIG.1009":  {[]int{401}, ErrUnauthorized, final, ""},
		"APIG.1010":  {[]int{401}, ErrServer, final, "the service could not reach a server of its own"},
		"APIG.1011":  {[]int{401}, ErrForbidden, final, account},
		"APIG.1012":  {[]int{401}, ErrForbidden, final, account},
		"APIG.1013":  {[]int{401}, ErrForbidden, final, account},
		"APIG.1020":  {[]int{403}, ErrForbidden, final, ""},
		"APIG.1102":  {[]int{403}, ErrForbidden, final, ""},
		"APIG.1103":  {[]int{403}, ErrForbidden, final, ""},
		"APIG.1119":  {[]int{400}, ErrForbidden, final, permission},
		"APIG.1136":  {[]int{403}, ErrForbidden, final, ""},
		"APIG.1149":  {[]int{409}, ErrForbidden, final, permission},
		"APIG.2000":  {[]int{400}, ErrBadRequest, final, ""},
		"APIG.2011":  {[]int{400}, ErrBadRequest, final, ""},
		"APIG.2012":  {[]int{400}, ErrBadRequest, final, ""},
		"APIG.3001":  {[]int{404}, ErrNotFound, final, ""},
		"APIG.3002":  {[]int{404}, ErrNotFound, final, ""},
		"APIG.3003":  {[]int{404}, ErrNotFound, final, ""},
		"APIG.3015":  {[]int{404}, ErrNotPublished, final, "what is not there is the publication; it is ErrNotFound too"},
		"APIG.3022":  {[]int{404}, ErrNotFound, final, ""},
		"APIG.3030":  {[]int{404}, ErrNotFound, final, ""},
		"APIG.3309":  {[]int{400}, ErrConflict, final, "it is so already; the request is right"},
		"APIG.3500":  {[]int{500}, ErrServer, unknown, ""},
		"APIG.3711":  {[]int{409}, ErrThrottled, busy, "once a minute is a limit of the rate"},
		"APIG.3718":  {[]int{409}, ErrConflict, busy, ""},
		"APIG.9008":  {[]int{500}, ErrThrottled, busy, "too many requests, whatever the status"},
		"APIG.9999":  {[]int{500}, ErrServer, unknown, ""},
		"APIC.7100":  {[]int{401}, ErrUnauthorized, renew, ""},
		"APIC.7101":  {[]int{401}, ErrUnauthorized, renew, ""},
		"APIC.7102":  {[]int{401}, ErrUnauthorized, renew, ""},
		"APIC.7302":  {[]int{404}, ErrNotFound, final, ""},
		"APIC.7701":  {[]int{409}, ErrConflict, notApplied, ""},
		"APIC.7712":  {[]int{409}, ErrConflict, busy, ""},
		"APIC.9222":  {[]int{400}, ErrConflict, busy, passing},
		"APIGW.0101": {[]int{404}, ErrNotFound, final, ""},
		"APIGW.0301": {[]int{401}, ErrUnauthorized, renew, ""},
		"APIGW.0303": {[]int{401}, ErrUnauthorized, final, ""},
		"APIGW.0307": {[]int{401}, ErrUnauthorized, renew, ""},
		"APIGW.0308": {[]int{429}, ErrThrottled, busy, ""},
		"APIGW.0613": {[]int{503}, ErrServer, unknown, ""},
		"APIGW.0802": {[]int{403}, ErrForbidden, final, ""},
	}
	ofStatus := map[int]error{
		400: ErrBadRequest, 401: ErrUnauthorized, 403: ErrForbidden, 404: ErrNotFound,
		409: ErrConflict, 429: ErrThrottled, 500: ErrServer, 503: ErrServer,
	}
	for code, want := range codes {
		sentinels := []error{want.sentinel}
		if want.sentinel == ErrNotPublished {
			sentinels = []error{ErrNotFound, ErrNotPublished}
		}
		differs := false
		for _, status := range append(want.statuses, 418) { // the code decides, with whatever status it comes
			assert.Equal(t, sentinels, matches(&APIGError{Op: "Publish", StatusCode: status, Code: code}), "%s with %d", code, status)
			differs = differs || status != 418 && want.sentinel != ofStatus[status]
		}
		assert.Equal(t, differs, want.reason != "", "%s: a reason where the sentinel is not that of the status, and only there", code)
		assert.Equal(t, want.verdict, classify(&failure{status: want.statuses[0], code: code, sent: true}), "verdict of %s", code)
		assert.Equal(t, want.verdict, meaningOf(code).verdict, "verdict of %s in an answer to a batch", code)
	}

	assert.Len(t, meanings, len(codes), "every code with a meaning has a row here")
	exported := 0
	for name, c := range exportedCodes(t) { // what the comment says of the code
		exported++
		want := codes[c.code]
		require.NotEmpty(t, want.statuses, name)
		assert.Regexp(t, fmt.Sprintf("^%d, %s[,:]", want.statuses[0], sentinelNames[want.sentinel]), c.comment, name)
		delete(codes, c.code)
	}
	assert.LessOrEqual(t, exported, 15, "the others say no more than their sentinel")
}

var sentinelNames = map[error]string{ErrNotFound: "ErrNotFound", ErrForbidden: "ErrForbidden", ErrConflict: "ErrConflict", ErrThrottled: "ErrThrottled", ErrServer: "ErrServer"}

type exportedCode struct {
	code    Code
	comment string
}

// exportedCodes reads the exported constants of type Code in the source.
func exportedCodes(t testing.TB) map[string]exportedCode {
	t.Helper()
	source, err := os.ReadFile("codes.go")
	require.NoError(t, err)
	codes := map[string]exportedCode{}
	for _, m := range regexp.MustCompile(`(?m)^\t(Code\w+) +Code = "(.+)" // (.+)$`).FindAllStringSubmatch(string(source), -1) {
		codes[m[1]] = exportedCode{Code(m[2]), m[3]}
	}
	require.NotEmpty(t, codes)
	return codes
}

// The gateway in front of the service writes its codes in two ways.
func TestTwinCodes(t *testing.T) {
	for _, m := range meanings {
		code := m.code
		if number, ok := strings.CutPrefix(string(code), "APIGW."); ok {
			twin := Code("APIG." + number)
			assert.Equal(t, matches(&APIGError{StatusCode: 418, Code: code}), matches(&APIGError{StatusCode: 418, Code: twin}), code)
			assert.Equal(t, classify(&failure{status: 401, code: code}), classify(&failure{status: 401, code: twin}), code)
		}
	}
	assert.ErrorIs(t, &APIGError{StatusCode: 418, Code: "APIG.0308"}, ErrThrottled)
	assert.NotErrorIs(t, &APIGError{StatusCode: 418, Code: "APIGW.3002"}, ErrNotFound, "a code of the service has no twin")
}

// That the operation has been performed already says that the API is offline,
// if taking it offline was the operation.
func TestAlreadyPerformed(t *testing.T) {
	for op, offline := range map[string]bool{
		"Publish": false, "Offline": true, "PublishBatch": false, "OfflineBatch": true, "SwitchVersion": false, "": false,
	} {
		want := []error{ErrConflict}
		if offline {
			want = []error{ErrNotFound, ErrNotPublished}
		}
		assert.Equal(t, want, matches(&APIGError{Op: op, StatusCode: 400, Code: codeAlreadyPerformed}), op)
	}
}

// A switch on the sentinels takes exactly one branch.
func TestOneSentinel(t *testing.T) {
	codes := []Code{"", "APIG.4711", "APIGW.0201", "APIG.0201", "IAM.0101", "401", "nonsense"}
	for _, m := range meanings {
		codes = append(codes, m.code)
	}
	statuses := []int{0, 700, 999, -1}
	for status := 100; status < 600; status++ {
		statuses = append(statuses, status)
	}
	for _, op := range []string{"Publish", "Offline"} {
		for _, code := range codes {
			for _, status := range statuses {
				e := &APIGError{Op: op, StatusCode: status, Code: code}
				if found := matches(e); len(found) != 1 {
					require.Equal(t, []error{ErrNotFound, ErrNotPublished}, found, "%s: %s with %d", op, code, status)
					require.ErrorIs(t, e, ErrNotPublished)
				}
			}
		}
	}
}

func meaningOf(c Code) meaning {
	m, _ := c.meaning()
	return m
}
