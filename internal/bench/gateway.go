package main

import (
	"bytes"
	"crypto/tls"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
	"sync/atomic"
)

// stubURL is never dialled. It is https so that every client takes it.
const stubURL = "https://apig.cn-north-4.myhuaweicloud.com"

func answerHeader() http.Header {
	return http.Header{
		"Content-Type": {"application/json"},
		"Date":         {"Mon, 03 Aug 2020 01:36:00 GMT"},
		"X-Request-Id": {"4c3a1f0f6a3f4d0d9a3a8d3b1f3f9a77"},
	}
}

// recordOf is the record of an API that was just published, as the service documents it.
func recordOf(apiID string) string {
	return fmt.Sprintf(`{"publish_id":"9191cdb430724d4b8586ed7f1b962ca2","api_id":%q,"api_name":"orders","env_id":%q,`+
		`"remark":%q,"publish_time":"2020-08-03T01:36:00.592970615Z","version_id":"ee1a5a38d3d3493abf1dc4ed6cacfa0b"}`,
		apiID, envID, remark)
}

// notFound is the answer for an API that does not exist.
const notFound = `{"error_code":"APIG.3002","error_msg":"API ` + apiID + ` does not exist"}`

// batchOf is the answer to a batch in which every API was published.
func batchOf(ids []string) string {
	records := make([]string, len(ids))
	for i, id := range ids {
		records[i] = recordOf(id)
	}
	return `{"success":[` + strings.Join(records, ",") + `],"failure":[]}`
}

// apiIDIn finds the API of a request without the cost of decoding.
func apiIDIn(body []byte) []byte {
	_, rest, _ := bytes.Cut(body, []byte(`"api_id":"`))
	id, _, _ := bytes.Cut(rest, []byte(`"`))
	return id
}

// stub answers from memory, below net/http's own transport: the work of that on every
// request, such as checking its headers byte by byte, is done here too. It allocates
// nothing itself. Only one goroutine may use it, and is done with an answer before it
// asks for the next.
type stub struct {
	status   int
	header   http.Header
	answer   []byte
	request  [1 << 16]byte
	response http.Response
	body     stubBody
}

func newStub(status int, answer string) http.RoundTripper {
	return below(&stub{status: status, header: answerHeader(), answer: []byte(answer)})
}

// below puts a transport of ours below net/http's own.
func below(t http.RoundTripper) http.RoundTripper {
	above := &http.Transport{TLSNextProto: map[string]func(string, *tls.Conn) http.RoundTripper{}} // no HTTP/2, which takes https for itself
	above.RegisterProtocol("https", t)
	return above
}

func (s *stub) RoundTrip(r *http.Request) (*http.Response, error) {
	if n, err := io.ReadFull(r.Body, s.request[:]); err != io.ErrUnexpectedEOF {
		return nil, fmt.Errorf("reading a request of %d bytes: %w", n, err)
	}
	if err := r.Body.Close(); err != nil {
		return nil, err
	}
	s.body.Reset(s.answer)
	s.response = http.Response{Status: http.StatusText(s.status), StatusCode: s.status, Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1,
		Header: s.header, Body: &s.body, ContentLength: int64(len(s.answer)), Request: r}
	return &s.response, nil
}

type stubBody struct{ bytes.Reader }

func (*stubBody) Close() error { return nil }

// gateway answers any number of requests at once, from memory, in time that is
// linear in the items of the answer.
type gateway struct {
	rows    int           // of the list of APIs
	holds   int64         // the first answer waits for so many requests
	arrived atomic.Int64  // requests
	open    chan struct{} // closed when all that it holds for have arrived
}

func (g *gateway) RoundTrip(r *http.Request) (*http.Response, error) {
	status, answer := http.StatusOK, ""
	if r.Method == http.MethodGet {
		answer = g.page(r.URL.Query().Get("offset"))
	} else {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			return nil, err
		}
		if id := apiIDIn(body); len(id) > 0 {
			status, answer = http.StatusCreated, recordOf(string(id))
		} else {
			var asked struct{ APIs []string }
			if err := json.Unmarshal(body, &asked); err != nil {
				return nil, err
			}
			answer = batchOf(asked.APIs)
		}
	}
	if g.arrived.Add(1) == g.holds {
		close(g.open)
	}
	if g.holds > 0 {
		select {
		case <-g.open:
		case <-r.Context().Done():
			return nil, r.Context().Err()
		}
	}
	return &http.Response{Status: http.StatusText(status), StatusCode: status, Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1,
		Header: answerHeader(), Body: io.NopCloser(strings.NewReader(answer)), ContentLength: int64(len(answer)), Request: r}, nil
}

// page is a page of the list of APIs.
func (g *gateway) page(offset string) string {
	first, _ := strconv.Atoi(offset)
	var b strings.Builder
	fmt.Fprintf(&b, `{"total":%d,"size":500,"apis":[`, g.rows)
	for i := first; i < min(first+500, g.rows); i++ {
		if i > first {
			b.WriteByte(',')
		}
		fmt.Fprintf(&b, `{"id":%q,"name":"orders","group_id":%q,"req_protocol":"HTTPS","req_method":"GET","req_uri":"/orders","auth_type":"NONE"}`, distinctID(i), apiID)
	}
	return b.String() + "]}"
}
