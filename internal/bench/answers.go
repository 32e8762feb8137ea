package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
)

// What the gateway answers, as the service documents it.

const requestID = "4c3a1f0f6a3f4d0d9a3a8d3b1f3f9a77"

// answerHeader is the header of every answer.
func answerHeader() http.Header {
	return http.Header{
		"Content-Type": {"application/json"},
		"Date":         {"Mon, 03 Aug 2020 01:36:00 GMT"},
		"X-Request-Id": {requestID},
	}
}

// recordOf is the record of an API that was just published.
func recordOf(apiID string) string {
	return fmt.Sprintf(`{"publish_id":"9191cdb430724d4b8586ed7f1b962ca2","api_id":%q,"api_name":"orders","env_id":%q,`+
		`"remark":%q,"publish_time":"2020-08-03T01:36:00.592970615Z","version_id":"ee1a5a38d3d3493abf1dc4ed6cacfa0b"}`,
		apiID, envID, remark)
}

// notFound is the answer for an API that does not exist.
func notFound(apiID string) string {
	return fmt.Sprintf(`{"error_code":"APIG.3002","error_msg":"API %s does not exist"}`, apiID)
}

// batchOf is the answer to a batch in which every API was published.
func batchOf(ids []string) string {
	records := make([]string, len(ids))
	for i, id := range ids {
		records[i] = recordOf(id)
	}
	return `{"success":[` + strings.Join(records, ",") + `],"failure":[]}`
}

// apiIDIn finds the API that a request is about, without the cost of decoding it.
func apiIDIn(body []byte) []byte {
	_, rest, _ := bytes.Cut(body, []byte(`"api_id":"`))
	id, _, _ := bytes.Cut(rest, []byte(`"`))
	return id
}

// apiIDsIn finds the APIs of a batch.
func apiIDsIn(body []byte) ([]string, error) {
	var batch struct {
		APIs []string `json:"apis"`
	}
	err := json.Unmarshal(body, &batch)
	return batch.APIs, err
}
