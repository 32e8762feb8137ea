package apig

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"net/http"
	"strconv"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/apig-go/apig/internal/errorbody"
	"github.com/apig-go/apig/internal/random"
)

// PublishRequest says which API to publish, and where.
type PublishRequest struct {
	APIID string // required
	EnvID string // required; EnvRelease is the environment that every gateway has

	// Remark is a text of at most 255 characters that the gateway keeps with the
	// version. The client appends a tag: a space, "apig:" and ten hexadecimal digits.
	// By the tag it finds the version after a lost answer:
	//
	//	1.4.2 apig:3fa9c1b2d0
	//
	// The console shows both. In records, versions and errors Remark is the text
	// alone, and Tag has the digits. A tag at the end of the text, perhaps copied from
	// the console, is taken off first. A text of more than 239 characters leaves no
	// room: it is sent without a tag, and a lost publication is then often unknown.
	// Config.DisableTags sends every remark as it is.
	Remark string

	// IdempotencyKey, if it is not empty, publishes once per key. The key names one
	// content, such as a commit or the run of a pipeline: an API that was edited
	// since is not published again under the same key.
	//
	//   - The tag is made from the key. The call first waits until an earlier request
	//     with the key can no longer arrive (twice RetryPolicy.SettleWait), and looks
	//     for the tag in the history.
	//   - If the version with the tag is in effect, the call returns it and publishes
	//     nothing: PublishRecord.Replayed is true.
	//   - If it is not in effect any more, the error is a *SupersededError. Nothing
	//     was changed.
	//   - Otherwise the call publishes.
	//
	// This holds across processes, crashes and reruns for as long as the gateway keeps
	// the version, the last ten of an environment. It does not hold while another
	// call with the same key is in progress. A key requires room for the tag: a Remark
	// of at most 239 characters.
	IdempotencyKey string
}

// OfflineRequest says which API to take offline, and where.
type OfflineRequest struct {
	APIID  string // required
	EnvID  string // required
	Remark string // at most 255 characters
}

// Publish publishes the API in the environment, as it is defined now. Publishing an
// API that is published already makes a new version. It returns
//
//   - a record if the API was published
//   - an error that matches [ErrOutcomeUnknown] if it may have been, or may yet be,
//     published; see [Client.Settle]
//   - any other error if it was not published
func (c *Client) Publish(ctx context.Context, r PublishRequest) (*PublishRecord, error) {
	var bad problems
	bad.id("APIID", r.APIID)
	bad.id("EnvID", r.EnvID)
	ch := c.publication("Publish", r.EnvID, r.Remark, r.IdempotencyKey, &bad)
	if err := bad.err(); err != nil {
		return nil, err
	}
	c.sendsOne(ch)
	return c.apply(ctx, ch, r.APIID)
}

// Offline takes the API offline in the environment. It returns
//
//   - a record if the API was taken offline
//   - an error that matches [ErrOutcomeUnknown] if it may have been, or may yet be,
//     taken offline; see [Client.Settle]
//   - any other error if nothing was changed, such as [ErrNotPublished] if the API was
//     not published there
func (c *Client) Offline(ctx context.Context, r OfflineRequest) (*PublishRecord, error) {
	var bad problems
	bad.id("APIID", r.APIID)
	bad.id("EnvID", r.EnvID)
	bad.remark(r.Remark)
	if err := bad.err(); err != nil {
		return nil, err
	}
	ch := &change{op: "Offline", action: offline, envID: r.EnvID, remark: r.Remark}
	c.sendsOne(ch)
	return c.apply(ctx, ch, r.APIID)
}

// publication is the change that Publish and PublishBatch make.
func (c *Client) publication(op, envID, remark, key string, bad *problems) *change {
	bad.remark(remark)
	ch := &change{op: op, action: online, envID: envID, remark: remark}
	if !c.untagged {
		ch.remark, _ = splitTag(remark)
		if utf8.RuneCountInString(ch.remark)+tagLength <= maxRemark {
			ch.tag = newTag()
		}
	}
	switch {
	case key == "":
	case c.untagged:
		bad.addf("IdempotencyKey requires tags, but Config.DisableTags is set")
	case ch.tag == "":
		bad.addf("IdempotencyKey requires a Remark of at most %d characters, which leaves room for a tag", maxRemark-tagLength)
	default:
		ch.tag = tagOfKey(key)
		ch.before, ch.notBefore = ch.replay, time.Now().Add(2*c.retry.SettleWait)
	}
	return ch
}

// sendsOne has the change go over the wire for one API: POST /apis/action.
func (c *Client) sendsOne(ch *change) {
	ch.request = func(items []*item) request {
		body, _ := json.Marshal(struct { // strings always marshal
			Action string `json:"action"`
			EnvID  string `json:"env_id"`
			APIID  string `json:"api_id"`
			Remark string `json:"remark,omitempty"`
		}{ch.word, ch.envID, items[0].APIID, joinTag(ch.remark, ch.tag)})
		return request{method: http.MethodPost, url: c.actions, body: body}
	}
}

// readOne reads the answer to a change of one API.
func (ch *change) readOne(a *answer, it *item) (err error) {
	it.failed = nil
	it.Record, err = ch.decode(a, target{it.APIID, ch.envID, ch.versionID})
	return err
}

// replay looks for the version that an earlier call with the same key has made.
func (ch *change) replay(h *history, it *item) (*PublishRecord, error) {
	made := h.tagged(ch.tag)
	switch {
	case made == nil:
		return nil, nil
	case !made.InEffect():
		return nil, &SupersededError{Made: *made, InEffect: h.inEffect(""), op: ch.op, apiID: it.APIID}
	}
	record := it.recovered(made)
	record.Recovered, record.Replayed = it.doubted, !it.doubted
	return record, nil
}

// ErrSuperseded means that the version of an IdempotencyKey is no longer in effect.
var ErrSuperseded = errors.New("apig: superseded")

// SupersededError means that an earlier call with the same IdempotencyKey has made a
// version, and that the version is no longer in effect. This call changed nothing. The
// caller decides between [Client.SwitchVersion] and a new key. It matches
// [ErrSuperseded].
type SupersededError struct {
	Made     Version  // by the key
	InEffect *Version // in its place; nil if the API is offline

	op, apiID string
}

// Error is one line: the operation, the API and both versions.
func (e *SupersededError) Error() string { return subject(e.op, e.apiID) + ": " + e.reason() }

func (e *SupersededError) reason() string {
	s := "the version of this key, " + errorbody.Line(e.Made.ID, maxCode) + ", is no longer in effect"
	if e.InEffect == nil {
		return s + ": the API is offline"
	}
	return s + ": " + errorbody.Line(e.InEffect.ID, maxCode) + " is"
}

// Is reports whether target is [ErrSuperseded].
func (e *SupersededError) Is(target error) bool { return target == ErrSuperseded }

const (
	maxRemark = 255 // characters; the service's limit

	tagWord   = "apig"
	tagDigits = 10

	// tagLength is the length that a tag adds to a remark, in characters.
	tagLength = len(" ") + len(tagWord) + len(":") + tagDigits
)

// newTag is a tag that no other call has.
func newTag() string {
	const above = 1 << (4 * tagDigits) // one digit more, so that no tag lacks leading zeros
	return strconv.FormatInt(above+random.Int64N(above), 16)[1:]
}

// tagOfKey is the tag of all publications with the key.
func tagOfKey(key string) string {
	sum := sha256.Sum256([]byte(key))
	return hex.EncodeToString(sum[:])[:tagDigits]
}

// isTag reports whether s is the digits of a tag.
func isTag(s string) bool {
	return len(s) == tagDigits && !strings.ContainsFunc(s, func(r rune) bool { return (r < '0' || r > '9') && (r|0x20 < 'a' || r|0x20 > 'f') })
}

// joinTag is the remark on the wire.
func joinTag(text, tag string) string {
	switch {
	case tag == "":
		return text
	case text == "":
		return tagWord + ":" + tag
	}
	return text + " " + tagWord + ":" + tag
}

// splitTag takes the tag off a remark. The service may have changed the case and
// everything that is neither letter nor digit. A remark that ends otherwise has no
// tag, even if it mentions one.
func splitTag(remark string) (text, tag string) {
	s := trimPunctuation(remark)
	i := len(s) - tagDigits
	if i < 0 || !isTag(s[i:]) {
		return remark, ""
	}
	word := trimPunctuation(s[:i])
	j := len(word) - len(tagWord)
	if j < 0 || !strings.EqualFold(word[j:], tagWord) || len(word) == i {
		return remark, ""
	}
	text = word[:j]
	if r, _ := utf8.DecodeLastRuneInString(text); text != "" && !isPunctuation(r) {
		return remark, ""
	}
	return strings.TrimSuffix(text, " "), strings.ToLower(s[i:])
}

// endsIn reports whether the remark ends in the letters and digits of the tag. Not even
// an escaped colon hides them.
func (v *Version) endsIn(tag string) bool {
	s := trimPunctuation(joinTag(v.Remark, v.Tag))
	return len(s) >= len(tag) && strings.EqualFold(s[len(s)-len(tag):], tag)
}

func trimPunctuation(s string) string { return strings.TrimRightFunc(s, isPunctuation) }

func isPunctuation(r rune) bool { return !unicode.IsLetter(r) && !unicode.IsDigit(r) }
