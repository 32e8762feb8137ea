package gateway_test

import (
	"fmt"
	"net/http"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/apig-go/apig/internal/gateway"
)

// virtual runs a test in virtual time.
func virtual(t *testing.T, test func(t *testing.T, f *fixture)) {
	synctest.Test(t, func(t *testing.T) { test(t, start(t, gateway.WithoutNetwork())) })
}

func TestWritesThatTakeTime(t *testing.T) {
	for collision, fault := range map[string]gateway.Fault{"500 APIG.3500": gateway.Busy(), "409 APIG.3718": gateway.TaskRunning()} {
		virtual(t, func(t *testing.T, f *fixture) {
			f.SetWriteTime(500*time.Millisecond, fault)
			other := f.AddAPI("users")
			v, err := f.Publish(f.api, release, "by hand")
			require.NoError(t, err, "without a request it takes no time")
			begun := time.Now()
			answers := make(chan string, 10)
			var writes sync.WaitGroup
			write := func(after time.Duration, name string, r *http.Request) {
				writes.Go(func() {
					time.Sleep(after)
					res, err := f.send(r)
					assert.NoError(t, err)
					var code string
					if res.status >= 400 {
						code, _ = res.json()["error_code"].(string)
					}
					answers <- fmt.Sprintf("%s: %d %s after %v", name, res.status, code, time.Since(begun))
				})
			}
			write(0, "first", f.action("online", f.api, release, ""))
			write(100*time.Millisecond, "same API", f.action("online", f.api, release, ""))
			write(100*time.Millisecond, "switch", f.request("PUT", "/apis/publish/"+f.api, `{"version_id":"`+v.ID+`"}`))
			write(100*time.Millisecond, "offline version", f.request("DELETE", "/apis/versions/"+v.ID, ""))
			write(100*time.Millisecond, "other API", f.action("online", other, release, ""))
			write(100*time.Millisecond, "read", f.request("GET", "/apis/publish/"+f.api, ""))
			write(500*time.Millisecond+1, "next", f.action("offline", f.api, release, ""))
			writes.Wait()
			close(answers)
			var got []string
			for a := range answers {
				got = append(got, a)
			}
			assert.ElementsMatch(t, []string{
				"same API: " + collision + " after 100ms", "switch: " + collision + " after 100ms",
				"offline version: " + collision + " after 100ms", "read: 200  after 100ms",
				"first: 201  after 500ms", "other API: 201  after 600ms", "next: 201  after 1.000000001s",
			}, got)
			assert.Len(t, f.Journal(), 4)

			// In a batch only the row of the API is refused; the write goes on without its client.
			r := f.action("online", other, release, "")
			f.client.Timeout = 100 * time.Millisecond
			_, err = f.send(r)
			require.Error(t, err)
			f.client.Timeout = 0
			res := f.call("POST", "/apis/publish?action=online", fmt.Sprintf(`{"apis":[%q,%q],"env_id":%q}`, other, f.api, release))
			require.Equal(t, 200, res.status)
			assert.Equal(t, f.api, res.json()["success"].([]any)[0].(map[string]any)["api_id"])
			failed := res.json()["failure"].([]any)[0].(map[string]any)
			assert.Equal(t, other, failed["api_id"])
			assert.Contains(t, collision, failed["error_code"])
			assert.Len(t, f.Journal(), 6)

			f.SetWriteTime(0, gateway.Fault{})
			assert.Equal(t, 201, f.publish("").status)
		})
	}
}

func TestLimit(t *testing.T) {
	virtual(t, func(t *testing.T, f *fixture) {
		f.SetLimit(3, 5*time.Minute)
		for range 3 {
			assert.Equal(t, 200, f.call("GET", "/envs", "").status)
			time.Sleep(time.Minute)
		}
		f.Inject(gateway.Forbidden())
		assert.Equal(t, 403, f.call("GET", "/envs", "").status, "a fault answers before")
		res := f.publish("")
		res.refused(429, "APIGW.0308", "policy user over ratelimit,limit:3,time:5 minute")
		assert.NotContains(t, res.header, "Retry-After")
		assert.Equal(t, 200, f.call("GET", f.URL()+"/v3", "").status, "IAM has limits of its own")
		time.Sleep(2*time.Minute - 1)
		f.publish("").refused(429, "APIGW.0308", "limit:3")
		time.Sleep(time.Nanosecond)
		assert.Equal(t, 201, f.publish("").status, "a new window")
		f.SetLimit(1, 1500*time.Millisecond)
		f.publish("")
		f.publish("").refused(429, "APIGW.0308", "limit:1,time:1.5 second")
		f.Reset()
		assert.Equal(t, 201, f.publish("").status, "reset begins a window")
		f.SetLimit(0, 0)
		assert.Equal(t, 201, f.publish("").status)
	})
}

func TestAlteredRemarks(t *testing.T) {
	f := start(t)
	f.AlterRemarks(func(remark string) string { return strings.ReplaceAll(remark, "\n", "\r\n") })
	assert.Equal(t, "a\r\nb", f.publish("a\nb").json()["remark"])
	assert.Equal(t, "a\r\nb", f.call("GET", "/apis/publish/"+f.api, "").rows("api_versions")[0]["remark"])
	assert.Equal(t, "a\nb", f.Journal()[0].Remark, "as it was sent")
	f.AlterRemarks(nil)
	assert.Equal(t, "a\nb", f.publish("a\nb").json()["remark"])
}

func TestHistoryThatLags(t *testing.T) {
	virtual(t, func(t *testing.T, f *fixture) {
		shown := func() (all []string) {
			for _, row := range f.call("GET", "/apis/publish/"+f.api, "").rows("api_versions") {
				all = append(all, fmt.Sprint(row["remark"], " ", row["status"]))
			}
			return all
		}
		f.publish("one")
		f.SetHistoryLag(time.Second)
		assert.Equal(t, []string{"one 1"}, shown(), "from before the lag")
		f.publish("two")
		assert.Equal(t, []string{"one 1"}, shown())
		assert.Len(t, f.History(f.api, release), 2, "the truth")
		time.Sleep(500 * time.Millisecond)
		f.do(f.action("offline", f.api, release, ""))
		time.Sleep(500*time.Millisecond - 1)
		assert.Equal(t, []string{"one 1"}, shown())
		time.Sleep(time.Nanosecond)
		assert.Equal(t, []string{"two 1", "one 2"}, shown())
		time.Sleep(500 * time.Millisecond)
		assert.Equal(t, []string{"two 2", "one 2"}, shown())
		f.publish("three")
		f.SetHistoryLag(0)
		assert.Equal(t, []string{"three 1", "two 2", "one 2"}, shown())

		other := f.AddAPI("users")
		f.SetHistoryLag(time.Second)
		_, err := f.Publish(other, release, "")
		require.NoError(t, err)
		assert.Empty(t, f.call("GET", "/apis/publish/"+other, "").rows("api_versions"), "before the first publish")
	})
}

// Members of a group come and go while its pages are read.
func TestChangesBetweenPages(t *testing.T) {
	f := start(t)
	group := f.AddGroup("shop")
	a := f.AddAPIIn(group, "a")
	f.AddAPIIn(group, "b")
	f.Inject(gateway.Do(func(r *gateway.Request) {
		assert.Equal(t, "1", r.Query.Get("offset"))
		f.RemoveAPI(a)
		f.AddAPIIn(group, "c")
	}).On(gateway.OpAPIs).Skip(1))
	path := "/apis?limit=1&group_id=" + group
	assert.Equal(t, "a", f.call("GET", path, "").rows("apis")[0]["name"])
	assert.Equal(t, "c", f.call("GET", path+"&offset=1", "").rows("apis")[0]["name"], "b was never listed")
}
