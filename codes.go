package apig

import (
	"net/http"
	"strings"
)

// Code is the error_code of the service, such as APIG.3002. Prefer it to the
// text of an error: the service words its messages differently over time.
type Code string

// The codes a caller who publishes APIs can meet, with the HTTP status they
// come with. They have the meaning of the management API; the gateways use
// some of the same codes for other things when they serve traffic.
//
// Those that begin with CodeFront are of the gateway in front of the service.
// Those that begin with CodeAuth or CodeGateway are of the part of it that manages
// the gateways (APIC) and repeat some of the others, such as CodeTokenExpired:
// errors.Is makes no difference between them. Some regions write APIG.0308 for
// APIGW.0308, and so on: errors.Is knows both, comparing Code does not.
const (
	CodeTokenMissing            Code = "APIG.1000"  // 401: no token
	CodeTokenExpired            Code = "APIG.1001"  // 401: the session has expired
	CodeTokenInvalid            Code = "APIG.1002"  // 401: the token is wrong or cannot be parsed
	CodeTokenNoProject          Code = "APIG.1003"  // 401: the token is not scoped to a project
	CodeNoPermission            Code = "APIG.1005"  // 403 (401 in some regions): the user may not call this method
	CodeTokenNoDomain           Code = "APIG.1007"  // 401: the token names no domain
	CodeInvalidDomain           Code = "APIG.1008"  // 401: the domain is invalid
	CodeTokenNoUser             Code = "APIG.1009"  // 401: the token names no user
	CodePolicyUnavailable       Code = "APIG.1010"  // 401: the service could not reach its policy server
	CodeRealNameRequired        Code = "APIG.1011"  // 401: the account lacks real-name authentication
	CodeBalanceInsufficient     Code = "APIG.1012"  // 401: the account's balance is too low
	CodeAccountFrozen           Code = "APIG.1013"  // 401: the account is frozen
	CodeInsufficientPermissions Code = "APIG.1020"  // 403: the policies of the user do not allow this
	CodeNoAPIPermission         Code = "APIG.1102"  // 403: not for this API
	CodeNoEnvPermission         Code = "APIG.1103"  // 403: not for this environment
	CodeOperationForbidden      Code = "APIG.1119"  // 400: the user may not do this
	CodeNoInstancePermission    Code = "APIG.1136"  // 403: not for this gateway
	CodeTaskForbidden           Code = "APIG.1149"  // 409: the user may not run this task of the gateway
	CodeParameterError          Code = "APIG.2000"  // 400: parameter error, without saying which
	CodeInvalidParameter        Code = "APIG.2011"  // 400: a value is invalid; the message names the parameter
	CodeInvalidQuery            Code = "APIG.2012"  // 400: a query value is invalid
	CodeGroupNotFound           Code = "APIG.3001"  // 404: no such API group
	CodeAPINotFound             Code = "APIG.3002"  // 404: no such API
	CodeEnvNotFound             Code = "APIG.3003"  // 404: no such environment
	CodeNotPublished            Code = "APIG.3015"  // 404: the API is not published there
	CodeVersionNotFound         Code = "APIG.3022"  // 404: no such version
	CodeInstanceNotFound        Code = "APIG.3030"  // 404: no such gateway
	CodeAlreadyPerformed        Code = "APIG.3309"  // 400: the operation has been performed before
	CodeSyncFailed              Code = "APIG.3500"  // 500: a concurrent write won; the change may have been stored
	CodeOncePerMinute           Code = "APIG.3711"  // 409: may be changed once a minute only
	CodeTaskRunning             Code = "APIG.3718"  // 409: a task of the gateway is running
	CodeTooManyRequests         Code = "APIG.9008"  // 500: the service is throttling
	CodeInternal                Code = "APIG.9999"  // 500: system error
	CodeAuthTokenMissing        Code = "APIC.7100"  // 401: no token
	CodeAuthTokenExpired        Code = "APIC.7101"  // 401: the token has expired
	CodeAuthTokenInvalid        Code = "APIC.7102"  // 401: the token is wrong or cannot be parsed
	CodeGatewayNotFound         Code = "APIC.7302"  // 404: no such gateway
	CodeGatewayStatus           Code = "APIC.7701"  // 409: the gateway is not in a state for this
	CodeGatewayLocked           Code = "APIC.7712"  // 409: another operation has locked the gateway
	CodeGatewayLockFailed       Code = "APIC.9222"  // 400: the gateway could not be locked
	CodeFrontNotFound           Code = "APIGW.0101" // 404: the front gateway knows no such path
	CodeFrontAuth               Code = "APIGW.0301" // 401: wrong or expired credentials, or a wrong signature
	CodeFrontAppAuth            Code = "APIGW.0303" // 401: the same, for app credentials
	CodeFrontTokenRenew         Code = "APIGW.0307" // 401: the token must be renewed
	CodeFrontThrottled          Code = "APIGW.0308" // 429: too many requests
	CodeFrontIAMUnavailable     Code = "APIGW.0613" // 503: the front gateway could not reach IAM
	CodeFrontRegion             Code = "APIGW.0802" // 403: the user may not use this region
)

// verdict is what a failed attempt means for the caller's change.
type verdict int

const (
	final      verdict = iota // not applied, and another attempt would fail too
	notApplied                // not applied; another attempt may succeed
	renew                     // not applied; another attempt with new credentials may succeed
	unknown                   // it may have been applied
)

func (v verdict) String() string {
	return [...]string{"final", "not applied", "renew credentials", "unknown"}[v]
}

// meaning is what a code says of the call that it answers.
type meaning struct {
	sentinel error
	verdict  verdict
}

// meaning knows the codes whose HTTP status says too little or the wrong thing.
// The verdict final gives way to the status where that is 500 or more, for then
// the change may have been applied; renew counts with the status 401 only.
func (c Code) meaning() (m meaning, known bool) {
	switch c.twin() {
	case CodeTokenMissing, CodeTokenExpired, CodeTokenInvalid, CodeAuthTokenMissing,
		CodeAuthTokenExpired, CodeAuthTokenInvalid, CodeFrontAuth, CodeFrontTokenRenew:
		return meaning{ErrUnauthorized, renew}, true
	case CodeTokenNoProject, CodeTokenNoDomain, CodeInvalidDomain, CodeTokenNoUser, CodeFrontAppAuth:
		return meaning{ErrUnauthorized, final}, true
	case CodeNoPermission, CodeRealNameRequired, CodeBalanceInsufficient, CodeAccountFrozen,
		CodeInsufficientPermissions, CodeNoAPIPermission, CodeNoEnvPermission, CodeOperationForbidden,
		CodeNoInstancePermission, CodeTaskForbidden, CodeFrontRegion:
		return meaning{ErrForbidden, final}, true
	case CodeParameterError, CodeInvalidParameter, CodeInvalidQuery:
		return meaning{ErrBadRequest, final}, true
	case CodeGroupNotFound, CodeAPINotFound, CodeEnvNotFound, CodeVersionNotFound,
		CodeInstanceNotFound, CodeGatewayNotFound, CodeFrontNotFound:
		return meaning{ErrNotFound, final}, true
	case CodeNotPublished:
		return meaning{ErrNotPublished, final}, true
	case CodeAlreadyPerformed:
		return meaning{ErrConflict, final}, true
	case CodeTaskRunning, CodeGatewayStatus, CodeGatewayLocked, CodeGatewayLockFailed:
		return meaning{ErrConflict, notApplied}, true
	case CodeOncePerMinute, CodeTooManyRequests, CodeFrontThrottled:
		return meaning{ErrThrottled, notApplied}, true
	case CodePolicyUnavailable:
		return meaning{ErrServer, final}, true
	case CodeSyncFailed, CodeInternal, CodeFrontIAMUnavailable:
		return meaning{ErrServer, unknown}, true
	}
	return meaning{}, false
}

// front reports whether the code comes from the gateway in front of the
// service and not from the service itself: APIGW.0xxx, or APIG.0xxx in regions
// where that gateway uses the prefix of the service.
func (c Code) front() bool { return strings.HasPrefix(string(c.twin()), "APIGW.") }

// service reports whether the code comes from the service itself. Other things
// on the way answer in JSON too, and with codes of their own, such as 503.
func (c Code) service() bool {
	return !c.front() && (strings.HasPrefix(string(c), "APIG.") || strings.HasPrefix(string(c), "APIC."))
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
