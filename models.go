package apig

import (
	"encoding/json"
	"strconv"
	"strings"
	"time"
)

// EnvRelease is the ID of the environment RELEASE, which every gateway has.
const EnvRelease = "DEFAULT_ENVIRONMENT_RELEASE_ID"

// PublishRecord is what the gateway holds after a publication was made or
// taken back. Its JSON form is the service's own.
//
// After Offline the gateway names only the API and the environment: PublishID
// and VersionID are empty and PublishTime is zero. After OfflineVersion it names
// nothing: the record has the APIID that was asked for.
type PublishRecord struct {
	PublishID   string    `json:"publish_id"`
	APIID       string    `json:"api_id"`
	APIName     string    `json:"api_name"`
	EnvID       string    `json:"env_id"`
	Remark      string    `json:"remark"`
	PublishTime time.Time `json:"publish_time,omitzero"` // zero if the gateway gave none that can be read
	VersionID   string    `json:"version_id"`            // the version in effect

	// RequestID names the request that was answered with this record, and is empty
	// if Recovered.
	RequestID string `json:"-"`

	// Recovered says that the answer was lost and the record comes from the
	// gateway's history instead. PublishTime then has whole seconds, and
	// PublishID and APIName may be empty.
	Recovered bool `json:"-"`
}

// UnmarshalJSON reads the service's form. A time that cannot be read is zero
// and no error: the publication it belongs to has been made.
func (r *PublishRecord) UnmarshalJSON(b []byte) error {
	if isNull(b) {
		return nil
	}
	var wire wireRecord
	err := json.Unmarshal(b, &wire)
	*r = *wire.record()
	return err
}

// isNull reports whether b is JSON's null, which leaves a value as it is, as
// encoding/json has it for its own types.
func isNull(b []byte) bool { return string(b) == "null" }

// wireRecord is a PublishRecord as the service writes it.
type (
	plainRecord PublishRecord
	wireRecord  struct {
		plainRecord
		PublishTime gatewayTime `json:"publish_time"`
	}
)

// record is the record that was read into w.
func (w *wireRecord) record() *PublishRecord {
	w.plainRecord.PublishTime = w.PublishTime.Time
	return (*PublishRecord)(&w.plainRecord)
}

// namesPublication reports whether the record is more than an echo.
func (r *PublishRecord) namesPublication() bool { return r.VersionID != "" || r.PublishID != "" }

// keptVersions is how many versions of an API in an environment the service
// keeps.
const keptVersions = 10

// Version is one publication of an API in an environment. The gateway keeps
// the last ten of each.
type Version struct {
	ID          string    `json:"version_id"`
	Number      string    `json:"version_no"`
	APIID       string    `json:"api_id"`
	EnvID       string    `json:"env_id"`
	EnvName     string    `json:"env_name"`
	Remark      string    `json:"remark"`
	PublishTime time.Time `json:"publish_time,omitzero"` // whole seconds; zero if it cannot be read
	Status      Status    `json:"status"`
}

// UnmarshalJSON reads the service's form. A time that cannot be read is zero.
func (v *Version) UnmarshalJSON(b []byte) error {
	if isNull(b) {
		return nil
	}
	type plain Version
	wire := struct {
		*plain
		PublishTime gatewayTime `json:"publish_time"`
	}{plain: (*plain)(v)}
	err := json.Unmarshal(b, &wire)
	v.PublishTime = wire.PublishTime.Time
	return err
}

// InEffect reports whether this is the version that serves requests.
func (v Version) InEffect() bool { return v.Status == StatusInEffect }

// Status is the state of a Version.
type Status int

// The states of a Version.
const (
	StatusInEffect    Status = 1
	StatusNotInEffect Status = 2
)

// String is the status in lower case, or its number.
func (s Status) String() string {
	switch s {
	case StatusInEffect:
		return "in effect"
	case StatusNotInEffect:
		return "not in effect"
	}
	return "status " + strconv.Itoa(int(s))
}

// gatewayTime is a time as the service writes it: RFC 3339, with up to nine
// decimals or none, in UTC or with an offset. The year 1 stands for no time.
// Whatever cannot be read is the zero time.
type gatewayTime struct{ time.Time }

// UnmarshalJSON never fails, whatever the service sends in place of a time.
func (t *gatewayTime) UnmarshalJSON(b []byte) error {
	t.Time = parseTime(strings.Trim(string(b), `"`))
	return nil
}

func parseTime(s string) time.Time {
	t, err := time.Parse(time.RFC3339Nano, s)
	if err != nil || t.UTC().Year() <= 1 {
		return time.Time{}
	}
	return t
}

// BatchItem is what became of one API of a batch: exactly one of Record and Err
// is set, and Err means the same as the error of Publish or Offline.
type BatchItem struct {
	APIID   string
	APIName string // empty if the gateway did not tell
	Record  *PublishRecord
	Err     error
}

// BatchResult has one item for each API: in the order of APIIDs, or for a group
// in the order of its list.
type BatchResult struct {
	Items []BatchItem
}
