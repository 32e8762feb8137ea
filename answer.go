package apig

import (
	"cmp"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/apig-go/apig/internal/errorbody"
	"github.com/apig-go/apig/internal/sdkhmac"
)

// tolerableSkew is well below the 15 minutes from which on the service refuses
// a signature for its date.
const tolerableSkew = 5 * time.Minute

// longestRetryAfter keeps a caller's sums of times from overflowing.
const longestRetryAfter = 365 * 24 * time.Hour

// answer is a whole answer, read up to the bounds.
type answer struct {
	request   *http.Request     // as it was sent; nil if it was not made
	address   string            // of the request before an Authenticator has added to it
	transport http.RoundTripper // that sent it; nil: http.DefaultTransport
	secret    string            // in the body of the request, or empty
	hidden    []string          // the credentials of the request, once secrets has found them
	start     time.Time         // of the attempt
	arrived   time.Time         // of the header
	status    int
	header    http.Header
	body      []byte
	broken    error // why the body is not whole, or nil
}

// text makes a server's text fit to print: without the credentials that the request
// carried (a signature error echoes the signed headers), on one line, and cut to a
// number of characters.
func (a *answer) text(s string, most int) string {
	if s == "" {
		return ""
	}
	return errorbody.Clean(s, most, a.secrets())
}

// secrets are the credentials of the request: in its body, in its headers, in what
// an Authenticator has added to its query, and those of the proxy on its way.
func (a *answer) secrets() []string {
	if a.hidden == nil { // an answer may have a thousand texts
		a.hidden = a.findSecrets()
	}
	return a.hidden
}

func (a *answer) findSecrets() []string {
	secrets := append(make([]string, 0, 4), a.secret) // and a token, usually
	if a.request == nil {
		return secrets
	}
	for name, values := range a.request.Header {
		if isPublicHeader(name) {
			continue
		}
		for _, value := range values {
			if _, signature, ok := strings.Cut(value, " Signature="); ok {
				value = signature // the rest of it is no secret
			}
			secrets = append(secrets, value)
		}
	}
	_, asked, _ := strings.Cut(a.address, "?")
	for param := range strings.SplitSeq(a.request.URL.RawQuery, "&") {
		if _, value, _ := strings.Cut(param, "="); !strings.Contains("&"+asked+"&", "&"+param+"&") {
			plain, _ := url.QueryUnescape(value)
			secrets = append(secrets, value, plain)
		}
	}
	transport, ok := cmp.Or(a.transport, http.DefaultTransport).(*http.Transport)
	if !ok || transport.Proxy == nil {
		return secrets
	}
	for _, values := range transport.ProxyConnectHeader {
		secrets = append(secrets, values...)
	}
	proxy, err := transport.Proxy(a.request)
	switch {
	case err != nil: // perhaps quoting an address that cannot be read, with its user and password
		_, address, _ := strings.Cut(err.Error(), "//")
		return append(secrets, address[:max(strings.LastIndexByte(address, '@'), 0)])
	case proxy != nil:
		password, _ := proxy.User.Password()
		return append(secrets, password)
	}
	return secrets
}

// isPublicHeader reports whether a header of a request holds nothing secret. Any
// other may: an Authenticator of the caller's puts its credentials where it likes.
func isPublicHeader(name string) bool {
	switch name {
	case "Accept", "Cache-Control", "Content-Type", "User-Agent", "X-Project-Id", "X-Sdk-Date":
		return true
	}
	return false
}

// checkID checks an ID of the answer as a caller's ID is checked: it may become part of
// a path, an error or a log.
func (a *answer) checkID(id string) error {
	if isID(id) && a.text(id, maxCode) == id {
		return nil
	}
	return fmt.Errorf("it has an invalid ID: %s", cmp.Or(a.text(id, maxCode), "an empty one"))
}

// checkIDs checks IDs that may be empty.
func (a *answer) checkIDs(ids ...string) error {
	for _, id := range ids {
		if id == "" {
			continue
		}
		if err := a.checkID(id); err != nil {
			return err
		}
	}
	return nil
}

// checkRead says why the answer to a read proves nothing: only 200 is documented,
// and the answer of a cache, which has an Age, is about an earlier time.
func (a *answer) checkRead() error {
	switch {
	case a.status != http.StatusOK:
		return errors.New("a read is answered with 200")
	case a.header["Age"] != nil:
		return errors.New("the answer comes from a cache")
	}
	return nil
}

func (a *answer) requestID() string {
	return a.text(a.header.Get("X-Request-Id"), maxRequestID)
}

// apiError makes an error of an answer that is not a success.
func (a *answer) apiError(op, apiID string) *APIGError {
	details := errorbody.Parse(a.body)
	message := a.text(details.Message, maxMessage)
	if a.status >= 300 && a.status < 400 {
		message = "a redirect, which is never followed; check the endpoint"
	}
	if a.status == http.StatusUnauthorized {
		if skew := a.clockSkew(); skew.Abs() > tolerableSkew {
			message += fmt.Sprintf(" (the request was signed with a clock that is %v off the gateway's)", skew)
		}
	}
	return &APIGError{
		Op:         op,
		APIID:      apiID,
		StatusCode: a.status,
		Code:       Code(a.text(details.Code, maxCode)),
		Message:    message,
		RequestID:  cmp.Or(a.requestID(), a.text(details.RequestID, maxRequestID)),
		RetryAfter: a.retryAfter(),
	}
}

// unreadable is why a success cannot be read, with what broke it off.
func (a *answer) unreadable(reason error) error {
	if a.broken != nil {
		reason = fmt.Errorf("%w (the body broke off: %s)", reason, a.text(a.broken.Error(), maxMessage))
	}
	return fmt.Errorf("status %d, %w", a.status, reason)
}

// clockSkew is how far the date of a signed request is ahead of the gateway's
// clock, to the second, and zero if one of the two is not known.
func (a *answer) clockSkew() time.Duration {
	if a.request == nil {
		return 0
	}
	signed, err := time.Parse(sdkhmac.DateLayout, a.request.Header.Get("X-Sdk-Date"))
	if now := a.date(); err == nil && !now.IsZero() {
		return signed.Sub(now)
	}
	return 0
}

// retryAfter reads Retry-After as seconds or as a date on the gateway's clock.
// It is zero if the header is missing, unreadable or in the past, and a year at most.
func (a *answer) retryAfter() time.Duration {
	s := strings.TrimSpace(a.header.Get("Retry-After"))
	if s == "" {
		return 0
	}
	if seconds, err := strconv.ParseInt(s, 10, 64); err == nil || errors.Is(err, strconv.ErrRange) {
		return time.Duration(min(max(seconds, 0), int64(longestRetryAfter/time.Second))) * time.Second
	}
	until, err := http.ParseTime(s)
	if err != nil {
		return 0
	}
	return min(max(until.Sub(cmp.Or(a.date(), a.arrived)), 0), longestRetryAfter)
}

// date is the gateway's clock when it answered, or zero if the answer does not
// tell or comes from a cache.
func (a *answer) date() time.Time {
	if a.header.Get("Age") != "" {
		return time.Time{}
	}
	t, err := http.ParseTime(a.header.Get("Date"))
	if err != nil {
		return time.Time{}
	}
	return t
}

// target names the subject of a change of one API.
type target struct{ apiID, envID, versionID string }

// record reads an answer that is a record of this API and, if envID is not empty,
// of this environment.
func (a *answer) record(want target) (*PublishRecord, error) {
	if len(a.body) == 0 {
		return nil, errors.New("the body is empty")
	}
	record := &PublishRecord{}
	if err := readRecord(a.body, record); err != nil {
		return nil, fmt.Errorf("the body is not a publication record: %s", a.text(err.Error(), maxMessage))
	}
	if !strings.EqualFold(record.APIID, want.apiID) {
		return nil, errors.New("the body is not a record of this API in this environment")
	}
	if err := a.checkRecord(record, want.envID); err != nil {
		return nil, err
	}
	record.RequestID = a.requestID()
	return record, nil
}

// checkRecord checks that the record is of this environment, if envID is not empty,
// and that its IDs are IDs.
func (a *answer) checkRecord(r *PublishRecord, envID string) error {
	env := r.EnvID
	if envID != "" {
		if !sameOrEmpty(env, envID) {
			return errors.New("the body is not a record of this API in this environment")
		}
		env = ""
	}
	return a.checkIDs(r.PublishID, r.VersionID, env)
}

// decodePublished reads the answer to a publication: a record of this API in this
// environment that names the new version.
func decodePublished(a *answer, want target) (*PublishRecord, error) {
	record, err := a.record(want)
	if err == nil && !record.namesPublication() {
		return nil, errors.New("the record names neither publication nor version")
	}
	return record, err
}

// stateRecord reads the answer to a change of the version in effect. Status 202 only
// promises the change. An empty 204 may come from anybody.
func (a *answer) stateRecord(want target) (*PublishRecord, error) {
	if a.status == http.StatusAccepted {
		return nil, errors.New("which only says that the change was accepted")
	}
	return a.record(want)
}

// decodeSwitched reads the answer to a switch: a record of the version.
func decodeSwitched(a *answer, want target) (*PublishRecord, error) {
	record, err := a.stateRecord(want)
	if err == nil && !strings.EqualFold(record.VersionID, want.versionID) {
		return nil, errors.New("the body is not a record of this version")
	}
	return record, err
}

// decodeVersionOffline reads the answer to taking a version offline: 204 and
// nothing else, since an empty answer may come from anybody.
func decodeVersionOffline(a *answer, want target) (*PublishRecord, error) {
	if a.status != http.StatusNoContent || len(a.body) > 0 || a.broken != nil {
		return nil, errors.New("success is 204 and nothing else")
	}
	return &PublishRecord{APIID: want.apiID, RequestID: a.requestID()}, nil
}
