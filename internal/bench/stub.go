package main

import (
	"bytes"
	"crypto/tls"
	"fmt"
	"io"
	"net/http"
	"strings"
)

// stubURL is never dialled. It is https so that every client takes it.
const stubURL = "https://apig.cn-north-4.myhuaweicloud.com"

// stub answers from memory, below net/http's own transport: what that does with every
// request, such as checking its headers byte by byte, is done here too. It allocates
// nothing itself. One goroutine at a time may use it, and is done with an answer
// before it asks for the next.
type stub struct {
	status   int
	header   http.Header
	answer   []byte
	idAt     int // where the API's ID stands in answer, or -1
	request  [1 << 16]byte
	response http.Response
	body     stubBody
}

// newStub makes a transport that answers with an answer about the API apiID. The ID
// is replaced by the one of the request.
func newStub(status int, answer string) *http.Transport {
	return (&stub{status: status, answer: []byte(answer), idAt: strings.Index(answer, apiID)}).transport()
}

// newFixedStub makes a transport that always gives the same answer.
func newFixedStub(status int, answer string) *http.Transport {
	return (&stub{status: status, answer: []byte(answer), idAt: -1}).transport()
}

func (s *stub) transport() *http.Transport {
	s.header = answerHeader()
	t := &http.Transport{TLSNextProto: map[string]func(string, *tls.Conn) http.RoundTripper{}} // no HTTP/2, which would want https for itself
	t.RegisterProtocol("https", s)
	return t
}

func (s *stub) RoundTrip(r *http.Request) (*http.Response, error) {
	n, err := io.ReadFull(r.Body, s.request[:])
	if err != io.ErrUnexpectedEOF {
		return nil, fmt.Errorf("reading a request of %d bytes: %w", n, err)
	}
	if err := r.Body.Close(); err != nil {
		return nil, err
	}
	if s.idAt >= 0 {
		id := apiIDIn(s.request[:n])
		if len(id) != len(apiID) {
			return nil, fmt.Errorf("a request for the API %q", id)
		}
		copy(s.answer[s.idAt:], id)
	}
	s.body.Reset(s.answer)
	s.response = http.Response{
		Status:        http.StatusText(s.status),
		StatusCode:    s.status,
		Proto:         "HTTP/1.1",
		ProtoMajor:    1,
		ProtoMinor:    1,
		Header:        s.header,
		Body:          &s.body,
		ContentLength: int64(len(s.answer)),
		Request:       r,
	}
	return &s.response, nil
}

type stubBody struct{ bytes.Reader }

func (*stubBody) Close() error { return nil }
