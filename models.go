package apig

import (
	"encoding/json"
	"time"

	"github.com/apig-go/apig/internal/plainjson"
)

// EnvRelease is the ID of the environment RELEASE. Every gateway has it.
const EnvRelease = "DEFAULT_ENVIRONMENT_RELEASE_ID"

// PublishRecord is what the gateway holds after a change. Its JSON form is the
// service's own.
//
// After Offline the service gives the API and the environment alone. After
// OfflineVersion the record has the APIID of the call alone. RequestID and Recovered are
// set as after Publish.
type PublishRecord struct {
	PublishID   string    `json:"publish_id"`
	APIID       string    `json:"api_id"`
	APIName     string    `json:"api_name"`
	EnvID       string    `json:"env_id"`
	Remark      string    `json:"remark"`                // as the caller gave it
	PublishTime time.Time `json:"publish_time,omitzero"` // zero if it cannot be read
	VersionID   string    `json:"version_id"`            // published or switched to

	// Tag has the ten hexadecimal digits that the client has appended to the remark;
	// empty if it has none. In JSON they are part of the remark, as in
	// "1.4.2 apig:3fa9c1b2d0".
	Tag string `json:"-"`

	// RequestID names the request. It is empty if Recovered or Replayed.
	RequestID string `json:"-"`

	// Recovered says that the answer was lost, and that the record comes from the
	// gateway's history. PublishTime then has whole seconds. PublishID and APIName are
	// empty. In a batch of a group, BatchItem.APIName has the name.
	Recovered bool `json:"-"`

	// Replayed says that an earlier call with the same IdempotencyKey has published
	// the API. The record comes from the gateway's history, as if Recovered.
	Replayed bool `json:"-"`
}

// plainRecord is a PublishRecord without its methods.
type plainRecord PublishRecord

// MarshalJSON writes the service's form.
func (r PublishRecord) MarshalJSON() ([]byte, error) {
	r.Remark = joinTag(r.Remark, r.Tag)
	return json.Marshal(plainRecord(r))
}

// UnmarshalJSON reads the service's form. A time that cannot be read is zero.
func (r *PublishRecord) UnmarshalJSON(b []byte) error {
	if isNull(b) {
		return nil
	}
	var wire struct {
		plainRecord
		PublishTime rawText `json:"publish_time"`
	}
	err := json.Unmarshal(b, &wire)
	*r = PublishRecord(wire.plainRecord)
	r.PublishTime = parseTime(wire.PublishTime.text())
	r.Remark, r.Tag = splitTag(r.Remark)
	return err
}

// readRecord is UnmarshalJSON at a fraction of its cost, for the usual form.
func readRecord(b []byte, r *PublishRecord) error {
	*r = PublishRecord{}
	at := ""
	usual := plainjson.EachText(b, func(name, text string) bool {
		switch name {
		case "publish_id":
			r.PublishID = text
		case "api_id":
			r.APIID = text
		case "api_name":
			r.APIName = text
		case "env_id":
			r.EnvID = text
		case "remark":
			r.Remark = text
		case "version_id":
			r.VersionID = text
		case "publish_time":
			at = text
		default:
			return false // encoding/json may still know it, since it ignores the case
		}
		return true
	})
	if !usual {
		return json.Unmarshal(b, r)
	}
	r.PublishTime = parseTime(at)
	r.Remark, r.Tag = splitTag(r.Remark)
	return nil
}

// isNull reports whether b is JSON's null, which leaves a value as it is, as
// encoding/json has it for its own types.
func isNull(b []byte) bool { return string(b) == "null" }

// namesPublication reports whether the record is more than an echo.
func (r *PublishRecord) namesPublication() bool { return r.VersionID != "" || r.PublishID != "" }

// keptVersions is how many versions of an API in an environment the service
// keeps.
const keptVersions = 10

// Version is one publication of an API in an environment. The gateway keeps the last
// ten of each environment.
type Version struct {
	ID          string    `json:"version_id"`
	Number      string    `json:"version_no"`
	APIID       string    `json:"api_id"`
	EnvID       string    `json:"env_id"`
	EnvName     string    `json:"env_name"`
	Remark      string    `json:"remark"`                // as the caller gave it
	PublishTime time.Time `json:"publish_time,omitzero"` // whole seconds; zero if it cannot be read
	Status      int       `json:"status"`                // 1 in effect, 2 not in effect
	Tag         string    `json:"-"`                     // as in PublishRecord
}

// plainVersion is a Version without its methods.
type plainVersion Version

// MarshalJSON writes the service's form.
func (v Version) MarshalJSON() ([]byte, error) {
	v.Remark = joinTag(v.Remark, v.Tag)
	return json.Marshal(plainVersion(v))
}

// UnmarshalJSON reads the service's form. A time that cannot be read is zero.
func (v *Version) UnmarshalJSON(b []byte) error {
	if isNull(b) {
		return nil
	}
	wire := struct {
		*plainVersion
		PublishTime rawText `json:"publish_time"`
	}{plainVersion: (*plainVersion)(v)}
	err := json.Unmarshal(b, &wire)
	v.PublishTime = parseTime(wire.PublishTime.text())
	v.Remark, v.Tag = splitTag(v.Remark)
	return err
}

// InEffect reports whether this is the version that serves requests.
func (v Version) InEffect() bool { return v.Status == inEffect }

// inEffect is the Status of the version that serves requests.
const inEffect = 1

// rawText is a value that should be a text. It is decoded once all fields are read: a
// hostile answer may have the same field a hundred thousand times.
type rawText struct{ json.RawMessage }

// text is empty if the value is not a text.
func (r rawText) text() (s string) {
	_ = json.Unmarshal(r.RawMessage, &s)
	return s
}

// parseTime reads a time as the service writes it: RFC 3339, with up to nine
// decimals or none, in UTC or with an offset. The year 1 stands for no time.
// A text that is not a time is the zero time.
func parseTime(s string) time.Time {
	t, err := time.Parse(time.RFC3339Nano, s)
	if err != nil || t.UTC().Year() <= 1 {
		return time.Time{}
	}
	return t
}

// BatchItem is the result for one API of a batch. Exactly one of Record and Err is
// set. Err means the same as the error of Publish or Offline.
type BatchItem struct {
	APIID   string
	APIName string // empty if it is not known
	Record  *PublishRecord
	Err     error
}

// BatchResult has one item for each API: in the order of APIIDs, or for a group in the
// order of its list. After SettleBatch it has the items of the BatchError.
type BatchResult struct {
	Items []BatchItem
}
