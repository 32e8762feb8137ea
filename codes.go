package apig

import (
	"net/http"
	"strings"
)

// Code is the error_code of the service, such as APIG.3002. Compare it, not the text
// of an error: the service changes the wording of its messages over time. Some
// regions write APIG.0308 for APIGW.0308, and so on: errors.Is treats both alike,
// a comparison of codes does not.
type Code string

// Codes that say more than the sentinel of their error, such as which of several
// things was not found. They have the meaning of the management API: gateways use
// some of the same codes for other things when they serve traffic.
const (
	CodeGroupNotFound    Code = "APIG.3001" // 404, ErrNotFound: no such API group
	CodeAPINotFound      Code = "APIG.3002" // 404, ErrNotFound: no such API
	CodeEnvNotFound      Code = "APIG.3003" // 404, ErrNotFound: no such environment
	CodeVersionNotFound  Code = "APIG.3022" // 404, ErrNotFound: no such version
	CodeInstanceNotFound Code = "APIG.3030" // 404, ErrNotFound: no such gateway
	CodeSyncFailed       Code = "APIG.3500" // 500, ErrServer: a concurrent write won; the change may have been stored
	CodeTaskRunning      Code = "APIG.3718" // 409, ErrConflict: a task of the gateway is running
	CodeGatewayStatus    Code = "APIC.7701" // 409, ErrConflict: the gateway is not in a state for this
	CodeGatewayLocked    Code = "APIC.7712" // 409, ErrConflict: another operation has locked the gateway
)

// Codes that say the same as their sentinels.
const (
	codeNotPublished     Code = "APIG.3015" // 404
	codeAlreadyPerformed Code = "APIG.3309" // 400: the operation has been performed before
	codeOncePerMinute    Code = "APIG.3711" // 409: may be changed once a minute only
)

// verdict is the meaning of a failed attempt for the caller's change.
type verdict int

const (
	final      verdict = iota // not applied; another attempt would fail too
	notApplied                // not applied; another attempt may succeed
	busy                      // not applied; the service refuses it for now
	renew                     // not applied; another attempt with new credentials may succeed
	renewed                   // not applied; there are new credentials
	unknown                   // it may have been applied
)

func (v verdict) String() string {
	return [...]string{"final", "not applied", "refused for now", "renew credentials", "renewed credentials", "unknown"}[v]
}

// meaning is the meaning of a code for the call that it answers.
type meaning struct {
	sentinel error
	verdict  verdict
}

// meanings has the codes that say more than their HTTP status, or contradict it, with
// the status. Codes with APIGW are from the gateway in front of the service, codes with
// APIC from the part of the service that manages gateways.
//
// The verdict final gives way to a status of 500 or more: the change may then have
// been applied. The verdict renew counts with the status 401 only.
var meanings = [...]struct {
	code Code
	meaning
}{
	{"APIG.1000", meaning{ErrUnauthorized, renew}},  // 401: no token
	{"APIG.1001", meaning{ErrUnauthorized, renew}},  // 401: the session has expired
	{"APIG.1002", meaning{ErrUnauthorized, renew}},  // 401: the token is wrong or cannot be parsed
	{"APIC.7100", meaning{ErrUnauthorized, renew}},  // 401: no token
	{"APIC.7101", meaning{ErrUnauthorized, renew}},  // 401: the token has expired
	{"APIC.7102", meaning{ErrUnauthorized, renew}},  // 401: the token is wrong or cannot be parsed
	{"APIGW.0301", meaning{ErrUnauthorized, renew}}, // 401: wrong or expired credentials, or a wrong signature
	{"APIGW.0307", meaning{ErrUnauthorized, renew}}, // 401: the token must be renewed
	{"APIG.1003", meaning{ErrUnauthorized, final}},  // 401: the token is not scoped to a project
	{"APIG.1007", meaning{ErrUnauthorized, final}},  // 401: the token names no domain
	{"APIG.1008", meaning{ErrUnauthorized, final}},  // 401: the domain is invalid
	{"APIG.1009", meaning{ErrUnauthorized, final}},  // 401: the token names no user
	{"APIGW.0303", meaning{ErrUnauthorized, final}}, // 401: wrong or expired app credentials

	{"APIG.1005", meaning{ErrForbidden, final}},  // 403 (401 in some regions): the user may not call this method
	{"APIG.1011", meaning{ErrForbidden, final}},  // 401: the account lacks real-name authentication
	{"APIG.1012", meaning{ErrForbidden, final}},  // 401: the account's balance is too low
	{"APIG.1013", meaning{ErrForbidden, final}},  // 401: the account is frozen
	{"APIG.1020", meaning{ErrForbidden, final}},  // 403: the policies of the user do not allow this
	{"APIG.1102", meaning{ErrForbidden, final}},  // 403: not for this API
	{"APIG.1103", meaning{ErrForbidden, final}},  // 403: not for this environment
	{"APIG.1119", meaning{ErrForbidden, final}},  // 400: the user may not do this
	{"APIG.1136", meaning{ErrForbidden, final}},  // 403: not for this gateway
	{"APIG.1149", meaning{ErrForbidden, final}},  // 409: the user may not run this task of the gateway
	{"APIGW.0802", meaning{ErrForbidden, final}}, // 403: the user may not use this region

	{"APIG.2000", meaning{ErrBadRequest, final}}, // 400: parameter error, without saying which
	{"APIG.2011", meaning{ErrBadRequest, final}}, // 400: a value is invalid; the message names the parameter
	{"APIG.2012", meaning{ErrBadRequest, final}}, // 400: a query value is invalid

	{CodeGroupNotFound, meaning{ErrNotFound, final}},
	{CodeAPINotFound, meaning{ErrNotFound, final}},
	{CodeEnvNotFound, meaning{ErrNotFound, final}},
	{CodeVersionNotFound, meaning{ErrNotFound, final}},
	{CodeInstanceNotFound, meaning{ErrNotFound, final}},
	{"APIC.7302", meaning{ErrNotFound, final}},  // 404: no such gateway, from the part that manages gateways
	{"APIGW.0101", meaning{ErrNotFound, final}}, // 404: the front gateway has no such path
	{codeNotPublished, meaning{ErrNotPublished, final}},

	{codeAlreadyPerformed, meaning{ErrConflict, final}},
	{CodeTaskRunning, meaning{ErrConflict, busy}},
	{CodeGatewayStatus, meaning{ErrConflict, notApplied}},
	{CodeGatewayLocked, meaning{ErrConflict, busy}},
	{"APIC.9222", meaning{ErrConflict, busy}}, // 400: the gateway could not be locked

	{codeOncePerMinute, meaning{ErrThrottled, busy}},
	{"APIG.9008", meaning{ErrThrottled, busy}},  // 500: the service is throttling
	{"APIGW.0308", meaning{ErrThrottled, busy}}, // 429: too many requests

	{"APIG.1010", meaning{ErrServer, final}}, // 401: the service could not reach its policy server
	{CodeSyncFailed, meaning{ErrServer, unknown}},
	{"APIG.9999", meaning{ErrServer, unknown}},  // 500: system error
	{"APIGW.0613", meaning{ErrServer, unknown}}, // 503: the front gateway could not reach IAM
}

// meaning looks the code up.
func (c Code) meaning() (m meaning, known bool) {
	code := c.twin()
	for i := range meanings { // 45 of them; a map would be made at each start of the program
		if meanings[i].code == code {
			return meanings[i].meaning, true
		}
	}
	return meaning{}, false
}

// twin folds the two spellings of a front gateway's code into one: APIG.0308
// is APIGW.0308.
func (c Code) twin() Code {
	if number, ok := strings.CutPrefix(string(c), "APIG.0"); ok {
		return Code("APIGW.0" + number)
	}
	return c
}

// statusSentinel is the sentinel of an HTTP status that no known code explains.
func statusSentinel(status int) error {
	switch {
	case status == http.StatusUnauthorized:
		return ErrUnauthorized
	case status == http.StatusForbidden:
		return ErrForbidden
	case status == http.StatusNotFound:
		return ErrNotFound
	case status == http.StatusConflict:
		return ErrConflict
	case status == http.StatusTooManyRequests:
		return ErrThrottled
	case status == http.StatusRequestTimeout:
		return ErrServer
	case status >= 300 && status < 500:
		return ErrBadRequest
	}
	return ErrServer
}
