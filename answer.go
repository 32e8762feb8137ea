package apig

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/apig-go/apig/internal/errorbody"
	"github.com/apig-go/apig/internal/sdkhmac"
)

// tolerableSkew is well below the 15 minutes from which on the service refuses
// a signature for its date.
const tolerableSkew = 5 * time.Minute

// longestRetryAfter keeps what a caller may compute with it from overflowing.
const longestRetryAfter = 365 * 24 * time.Hour

// answer is what came back, read to its end or to the bounds.
type answer struct {
	request *http.Request // as it was sent; nil if it was not made
	secret  string        // that its body held, or empty
	start   time.Time     // of the attempt
	arrived time.Time     // of the header
	status  int
	header  http.Header
	body    []byte
	broken  error // why the body is not whole, or nil
}

// text makes a server's text fit to be printed: without the credentials that
// the request carried (a signature error echoes the signed headers), on one
// line, and cut to a number of characters.
func (a *answer) text(s string, most int) string {
	if s == "" {
		return ""
	}
	var room [8]string
	secrets := append(room[:0], a.secret)
	if a.request != nil {
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
	}
	return errorbody.Clean(s, most, secrets)
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

// checkID checks an ID of the answer like one of a caller's, since it may be used
// like one and go into a path, an error or a log.
func (a *answer) checkID(id string) error {
	var bad problems
	if bad.id("", id); bad == nil && a.text(id, maxCode) == id {
		return nil
	}
	return fmt.Errorf("a row has what is not an ID: %s", cmp.Or(a.text(id, maxCode), "nothing"))
}

func (a *answer) requestID() string {
	return a.text(a.header.Get("X-Request-Id"), maxRequestID)
}

// apiError makes an error of an answer that is not a success.
func (a *answer) apiError(op, apiID string) *APIGError {
	details := errorbody.Parse(a.body)
	requestID := a.requestID()
	if requestID == "" {
		requestID = a.text(details.RequestID, maxRequestID)
	}
	message := a.text(details.Message, maxMessage)
	if a.status >= 300 && a.status < 400 {
		message = "a redirect, which is never followed; check the endpoint"
	}
	if skew := a.clockSkew(); a.status == http.StatusUnauthorized && skew.Abs() > tolerableSkew {
		message += fmt.Sprintf(" (the request was signed with a clock that is %v off the gateway's)", skew)
	}
	return &APIGError{
		Op:         op,
		APIID:      apiID,
		StatusCode: a.status,
		Code:       Code(a.text(details.Code, maxCode)),
		Message:    message,
		RequestID:  requestID,
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
	now := a.date()
	if now.IsZero() {
		now = a.arrived
	}
	return min(max(until.Sub(now), 0), longestRetryAfter)
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

// target is what a change of one API was to change.
type target struct{ apiID, envID, versionID string }

// record reads an answer that is a record of this API and, if envID is not empty,
// of this environment.
func (a *answer) record(want target) (*PublishRecord, error) {
	if len(a.body) == 0 {
		return nil, errors.New("the body is empty")
	}
	wire := &wireRecord{}
	if err := json.Unmarshal(a.body, wire); err != nil {
		return nil, fmt.Errorf("the body is not a publication record: %s", a.text(err.Error(), maxMessage))
	}
	record := wire.record()
	if !strings.EqualFold(record.APIID, want.apiID) || want.envID != "" && !sameOrEmpty(record.EnvID, want.envID) {
		return nil, errors.New("the body is not a record of this API in this environment")
	}
	record.RequestID = a.requestID()
	return record, nil
}

// decodePublished reads the answer to a publication: a record of this API in this
// environment that names what was made.
func decodePublished(a *answer, want target) (*PublishRecord, error) {
	record, err := a.record(want)
	if err == nil && !record.namesPublication() {
		return nil, errors.New("the record names neither publication nor version")
	}
	return record, err
}

// decodeOffline reads the answer to taking an API offline: a record of this API in
// this environment, or no content at all.
func decodeOffline(a *answer, want target) (*PublishRecord, error) {
	if a.status == http.StatusNoContent && len(a.body) == 0 && a.broken == nil {
		return &PublishRecord{APIID: want.apiID, EnvID: want.envID, RequestID: a.requestID()}, nil
	}
	return a.record(want)
}

// decodeSwitched reads the answer to a switch: a record of the version.
func decodeSwitched(a *answer, want target) (*PublishRecord, error) {
	record, err := a.record(want)
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
