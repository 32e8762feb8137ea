//go:build unix && !race

package apig

import (
	"context"
	"fmt"
	"io"
	"maps"
	"net/http"
	"runtime"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// What a call may take at most, whatever a server answers.
const (
	mostMemory = 64 << 20
	mostCPU    = time.Second
)

// Answers that are as long as may be, and made to be dear. All that a call
// allocates bounds what it holds at any time, and depends neither on the collector
// nor on what else the machine does.
func TestAnswerCost(t *testing.T) {
	const size = 8<<20 - 1
	type body func() string // made when it is needed: all of them would fill a gigabyte
	long := func(head, unit, tail string) body {
		return func() string { return head + strings.Repeat(unit, (size-len(head)-len(tail))/len(unit)) + tail }
	}
	rows := func(key, field string) map[string]body {
		head := `{"total":1,"` + key + `":[`
		return map[string]body{
			"rows of nothing":        long(head+"{}", ",{}", "]}"),
			"a row of numbers":       long(head+`{"a":0`, `,"a":0`, "}]}"),
			"a row of objects":       long(head+`{"a":{}`, `,"a":{}`, "}]}"),
			"a row of one field":     long(head+`{"`+field+`":""`, `,"`+field+`":""`, "}]}"),
			"a row of bars":          long(head+`{"`+field+`":"|"`, `,"`+field+`":"|||||||||||||||||"`, "}]}"),
			"rows of bars":           long(head+"null", `,{"`+field+`":"`+strings.Repeat("|", 199)+`"}`, "]}"),
			"rows of bars, large":    long(head+"null", `,{"`+strings.Repeat(field+`":"`+strings.Repeat("|", 199)+`","`, 80)+`":0}`, "]}"),
			"a row of lists":         long(head+`{"`+field+`":"\n"`, `,"`+field+`":"\n"`, "}]}"),
			"a row of times":         long(head+`{"publish_time":""`, `,"publish_time":"2020-08-03 01:36:00Z"`, "}]}"),
			"a row of no times":      long(head+`{"publish_time":""`, `,"publish_time":""`, "}]}"),
			"a row of escaped names": long(head+`{"\u0061":0`, `,"\u0061":0`, "}]}"),
			"a text":                 long(head+`{"`+field+`":"`, "x", `"}]}`),
			"a text of escapes":      long(head+`{"`+field+`":"`, `\u0061`, `"}]}`),
			"a text of bars":         long(head+`{"`+field+`":"`, "|", `"}]}`),
			"a number":               long(head+`{"`+field+`":1`, "0", "}]}"),
		}
	}
	shapes := func(key string) map[string]body { // whatever the rows are
		head := `{"total":1,"` + key + `":[`
		return map[string]body{
			"rows of null":            long(head+"null", ",null", "]}"),
			"a field of nobody":       long(head+`],"x":[0`, ",0", "]}"),
			"fields of nobody":        long(head+`]`, `,"x":0`, "}"),
			"the rows over and over":  long(head+`]`, `,"`+key+`":[]`, "}"),
			"the total over and over": long(`{"total":1`, `,"total":1`, "}"),
			"blank":                   long(head, " ", "]}"),
			"brackets":                long(head, "[", "]}"),
			"brackets in pairs":       long(head+"[]", ",[]", "]}"),
			"ten thousand brackets":   long(head+"[]", ","+strings.Repeat("[", 9990)+strings.Repeat("]", 9990), "]}"),
			"HTML":                    long("<html>", "<b>", ""),
		}
	}
	objects := map[string]body{
		"fields":  long(`{"a":0`, `,"a":0`, "}"),
		"a text":  long(`{"remark":"`, `\u0061`, `"}`),
		"errors":  long(`{"error":{}`, `,"error":{"code":{}}`, "}"),
		"message": long(`{"error_msg":"`, testToken, `"}`),
	}
	list := func(name string) func(context.Context, *Client) error {
		return func(ctx context.Context, c *Client) error {
			_, err := collect(lists[name].ids(c, ctx))
			return err
		}
	}
	batch := func(ctx context.Context, c *Client) error {
		_, err := c.PublishBatch(ctx, PublishBatchRequest{APIIDs: nIDs(1000), EnvID: EnvRelease})
		return err
	}
	one := func(ctx context.Context, c *Client) error {
		_, err := c.Publish(ctx, testRequest)
		return err
	}
	definition := func(ctx context.Context, c *Client) error {
		_, err := c.RuntimeDefinition(ctx, testAPI, EnvRelease)
		return err
	}
	apis, records := rows("apis", "run_env_id"), rows("success", "remark")
	maps.Copy(apis, shapes("apis"))
	maps.Copy(records, shapes("success"))
	apis["publications"] = func() string { // a hundred thousand, and then an API without an ID
		row := `{"id":"a","run_env_id":"` + strings.Repeat("|"+EnvRelease, 199) + `","publish_id":"` + strings.Repeat("|"+testAPI, 199) + `"},`
		return `{"total":500,"apis":[` + strings.Repeat(row, 499) + `{}]}`
	}
	for name, tt := range map[string]struct {
		call   func(context.Context, *Client) error
		bodies map[string]body
	}{
		"APIs":              {list("APIs"), apis},
		"Versions":          {list("Versions"), rows("api_versions", "remark")},
		"PublishBatch":      {batch, records},
		"PublishBatch, not": {batch, rows("failure", "error_msg")},
		"Publish":           {one, objects},
		"RuntimeDefinition": {definition, objects},
	} {
		for what, made := range tt.bodies {
			body := made()
			statuses := []int{200}
			if tt.bodies["fields"] != nil {
				statuses = append(statuses, 400) // a refusal is read in the same way whatever was asked
			}
			for _, status := range statuses {
				t.Run(fmt.Sprint(name, "/", what, "/", status), func(t *testing.T) {
					ctx, cancel := context.WithCancel(t.Context())
					defer cancel()
					c, mt := newTest(t, attempts(1))
					answer := respondWith(status, func() io.Reader { return strings.NewReader(body) })
					mt.RegisterNoResponder(answer)
					mt.RegisterResponder(http.MethodGet, `=~/apis/publish/.`, answer)
					if tt.bodies["rows of nothing"] == nil || strings.HasPrefix(name, "PublishBatch") {
						// What a thousand histories cost is not the answer's doing.
						mt.RegisterResponder(http.MethodGet, `=~/apis/publish/.`, func(*http.Request) (*http.Response, error) {
							cancel()
							return nil, context.Canceled
						})
					}
					assertCheap(t, func() { require.Error(t, tt.call(ctx, c)) })
				})
			}
		}
	}
}

func assertCheap(t *testing.T, call func()) {
	t.Helper()
	var before, after runtime.MemStats
	var begin, end syscall.Rusage
	runtime.ReadMemStats(&before)
	require.NoError(t, syscall.Getrusage(syscall.RUSAGE_SELF, &begin))
	call()
	require.NoError(t, syscall.Getrusage(syscall.RUSAGE_SELF, &end))
	runtime.ReadMemStats(&after)
	allocated := after.TotalAlloc - before.TotalAlloc
	cpu := time.Duration(end.Utime.Nano() + end.Stime.Nano() - begin.Utime.Nano() - begin.Stime.Nano())
	t.Logf("%d MiB, %v", allocated>>20, cpu)
	assert.LessOrEqual(t, allocated, uint64(mostMemory), "bytes allocated")
	assert.LessOrEqual(t, cpu, mostCPU, "CPU time")
}
