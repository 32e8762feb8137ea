package apig

import (
	"encoding/json"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/apig-go/apig/internal/errorbody"
)

// Whatever a time looks like, it is no error, and what follows it is read too: the
// publication has been made.
func TestTimes(t *testing.T) {
	for raw, want := range map[string]time.Time{ // JSON
		`"2020-08-03T01:36:00.592970615Z"`:            testTime,
		`"2020-08-03T01:36:00Z"`:                      testTime.Truncate(time.Second),
		`"2020-08-03T09:36:00.592970615+08:00"`:       testTime,
		`"0001-01-01T00:00:00Z"`:                      {},
		`"0001-01-01T08:05:43+08:05"`:                 {}, // by local mean time
		`"0000-12-31T23:00:00-01:00"`:                 {},
		`"2020-08-03T01:36:00"`:                       {},
		`"2020-08-03T01:36:00Z|2020-08-03T01:36:00Z"`: {},
		`"2020-02-30T01:36:00Z"`:                      {},
		`""`:                                          {}, `null`: {}, `1596418560`: {}, `true`: {}, `{"seconds":1596418560}`: {}, `["2020-08-03T01:36:00Z"]`: {},
	} {
		var record PublishRecord
		var version Version
		require.NoError(t, json.Unmarshal([]byte(`{"publish_time":`+raw+`,"version_id":"v"}`), &record))
		require.NoError(t, json.Unmarshal([]byte(`{"publish_time":`+raw+`,"version_id":"v"}`), &version))
		assert.Equal(t, "v v", record.VersionID+" "+version.ID)
		for _, got := range []time.Time{record.PublishTime, version.PublishTime} {
			assert.True(t, got.Equal(want), "%s: %v", raw, got)
			assert.Equal(t, want.IsZero(), got.IsZero())
		}
	}
}

// What is written and read again is the same, in the service's own form. A time
// that is not known is left out, and so is what is not part of that form.
func TestModelsJSON(t *testing.T) {
	at := testTime.Truncate(time.Second)
	record := publishedRecord
	record.RequestID, record.Recovered, record.Replayed = testRequestID, true, true
	b, err := json.Marshal(record)
	require.NoError(t, err)
	assert.JSONEq(t, publishedBody, string(b))

	for want, value := range map[string]any{
		`{"publish_id":"","api_id":"a","api_name":"","env_id":"e","remark":"","version_id":""}`:                                                 PublishRecord{APIID: "a", EnvID: "e"},
		`{"publish_id":"","api_id":"","api_name":"","env_id":"","remark":"1.4.2 apig:3fa9c1b2d0","version_id":""}`:                              PublishRecord{Remark: "1.4.2", Tag: "3fa9c1b2d0"},
		`{"version_id":"","version_no":"","api_id":"","env_id":"","env_name":"","remark":"apig:3fa9c1b2d0","status":0}`:                         Version{Tag: "3fa9c1b2d0"},
		`{"version_id":"v","version_no":"","api_id":"","env_id":"","env_name":"","remark":"","publish_time":"2020-08-03T01:36:00Z","status":1}`: Version{ID: "v", Status: inEffect, PublishTime: at},
		`{"id":"e","name":"DEV"}`: Environment{ID: "e", Name: "DEV"},
	} {
		b, err := json.Marshal(value)
		require.NoError(t, err)
		assert.JSONEq(t, want, string(b))
		again := reflect.New(reflect.TypeOf(value))
		require.NoError(t, json.Unmarshal(b, again.Interface()))
		assert.Equal(t, value, again.Elem().Interface())
	}
}

// What is of a wrong type is an error, not half a value.
func TestModelsOfWrongTypes(t *testing.T) {
	for _, into := range []any{new(PublishRecord), new(Version), new(Environment), new(API)} {
		for _, body := range []string{`[]`, `"x"`, `5`, `{"remark":5,"name":5}`, `{"remark":"x"`} {
			assert.Error(t, json.Unmarshal([]byte(body), into), "%T of %s", into, body)
		}
	}
}

// JSON's null leaves a value as it is, as encoding/json has it for its own types.
func TestModelsOfNull(t *testing.T) {
	all := struct {
		Record  PublishRecord
		Version Version
		API     API
	}{PublishRecord{APIID: "a", RequestID: "r", Recovered: true}, Version{ID: "v"}, API{ID: "a", Environments: []Environment{{ID: "e"}}}}
	want := all
	for _, into := range []json.Unmarshaler{&all.Record, &all.Version, &all.API} {
		require.NoError(t, into.UnmarshalJSON([]byte("null")))
	}
	require.NoError(t, json.Unmarshal([]byte(`{"Record":null,"Version":null,"API":null}`), &all))
	assert.Equal(t, want, all)
}

// The environments of an API stand in two parallel lists. The first says how many there are.
func TestEnvironmentsOfAnAPI(t *testing.T) {
	for parts, want := range map[string][]Environment{
		``:                                      nil,
		`"run_env_id":"","run_env_name":""`:     nil,
		`"run_env_id":null,"run_env_name":null`: nil,
		`"run_env_id":"e3|e1|e2","run_env_name":"C|A|B"`: {{"e3", "C"}, {"e1", "A"}, {"e2", "B"}},
		`"run_env_id":"e1|e2","run_env_name":"A"`:        {{"e1", "A"}, {"e2", ""}},
		`"run_env_id":"e1|e2"`:                           {{"e1", ""}, {"e2", ""}},
		`"run_env_id":"e1","run_env_name":"A|B"`:         {{"e1", "A"}},
		`"run_env_id":"e1","run_env_name":5`:             {{"e1", ""}},
		`"run_env_id":5,"run_env_name":"A"`:              nil,
		`"run_env_id":"e1|e2","run_env_id":"e3"`:         {{"e3", ""}},
	} {
		got := API{Environments: []Environment{{ID: "of before"}}}
		require.NoError(t, json.Unmarshal([]byte("{"+parts+"}"), &got), parts)
		assert.Equal(t, API{Environments: want}, got, parts)
	}
	most := `{"run_env_id":"e` + strings.Repeat("|e", maxEnvironments-1) + `"}`
	var api API
	require.NoError(t, json.Unmarshal([]byte(most), &api))
	assert.Len(t, api.Environments, maxEnvironments)
	assert.EqualError(t, json.Unmarshal([]byte(strings.Replace(most, "e|e", "e|e|e", 1)), &api), "it is published in more than 200 environments")
}

func FuzzTime(f *testing.F) {
	for _, s := range []string{
		"2020-08-03T01:36:00.592970615Z", "2020-08-03T01:36:00Z", "2020-08-03T09:36:00+08:00", "0001-01-01T00:00:00Z",
		"0000-12-31T23:00:00-01:00", "", "null", "now", "2020-08-03T01:36:00Z|2020-08-03T01:36:00Z",
	} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		raw, err := json.Marshal(s)
		if err != nil {
			t.Skip("not a text")
		}
		var record PublishRecord
		if err := json.Unmarshal([]byte(`{"publish_time":`+string(raw)+`,"version_id":"v"}`), &record); err != nil {
			t.Fatalf("an unreadable time is no error: %v", err)
		}
		if record.VersionID != "v" {
			t.Error("what follows the time is lost")
		}
		if got := record.PublishTime; !got.IsZero() {
			want, err := time.Parse(time.RFC3339, s)
			if err != nil || !got.Equal(want) || got.UTC().Year() < 2 {
				t.Errorf("%v for %q", got, s)
			}
		}
	})
}

func FuzzEnvironmentsOfAnAPI(f *testing.F) {
	for _, ids := range []string{"", "e1", "e1|e2", "|", "||", "e1|", strings.Repeat("|", 199), strings.Repeat("|", 200)} {
		f.Add(ids, "A|B")
	}
	f.Fuzz(func(t *testing.T, ids, names string) {
		row, err := json.Marshal(map[string]string{"run_env_id": ids, "run_env_name": names})
		if err != nil || !utf8.ValidString(ids+names) {
			t.Skip("not texts")
		}
		var api API
		if err := json.Unmarshal(row, &api); err != nil {
			valid := func(id string) bool { return id == "" || isID(id) && errorbody.Line(id, maxCode) == id }
			if strings.Count(ids, "|") < maxEnvironments && !slices.ContainsFunc(strings.Split(ids, "|"), func(id string) bool { return !valid(id) }) {
				t.Fatal(err)
			}
			return
		}
		var gotIDs, gotNames []string
		for _, e := range api.Environments {
			gotIDs, gotNames = append(gotIDs, e.ID), append(gotNames, e.Name)
		}
		if got := strings.Join(gotIDs, "|"); len(ids) > 0 && len(got) != len(ids) {
			t.Errorf("%q for %q", got, ids)
		}
		if got := strings.Join(gotNames, "|"); !strings.HasPrefix(got, names) && len(got) >= len(names) {
			t.Errorf("%q for %q", got, names)
		}
	})
}
