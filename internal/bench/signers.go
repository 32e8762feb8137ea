package main

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"hash"
	"net/http"
	"time"

	official "github.com/huaweicloud/huaweicloud-sdk-go-v3/core/auth/signer"
	"github.com/huaweicloud/huaweicloud-sdk-go-v3/core/request"

	"github.com/apig-go/apig/internal/sdkhmac"
)

// signGroup signs the same publish with the minimal signer below, the official one
// and ours, as the three use to be called: each sets date and signature anew.
func signGroup() (group, error) {
	g := group{baseline: colSafe}
	body, err := json.Marshal(action{"online", envID, apiID, remark})
	if err != nil {
		return g, err
	}
	newRequest := func() (*http.Request, error) {
		req, err := http.NewRequest(http.MethodPost, stubURL+actionPath, nil)
		if err == nil {
			req.Header.Set("Content-Type", "application/json;charset=UTF-8")
			req.Header.Set("X-Project-Id", projectID)
		}
		return req, err
	}
	minimal, err := newRequest()
	if err != nil {
		return g, err
	}
	ours, err := newRequest()
	if err != nil {
		return g, err
	}
	signer := minimalSigner{hmac.New(sha256.New, []byte(secretKey))}
	when := time.Date(2020, 8, 3, 1, 36, 0, 0, time.UTC)
	sdk := request.NewHttpRequestBuilder().
		WithMethod(http.MethodPost).WithEndpoint(stubURL).WithPath(actionPath).WithBody("body", string(body)).
		AddHeaderParam("Content-Type", "application/json;charset=UTF-8").
		AddHeaderParam("X-Project-Id", projectID).
		AddHeaderParam("X-Sdk-Date", when.Format(sdkhmac.DateLayout)).
		Build()

	g.work = []workload{
		{rowSign, colSafe, 1, func() error {
			signer.sign(minimal, body, when)
			return nil
		}},
		{rowSign, colOfficial, 1, func() error {
			_, err := official.Sign(sdk, accessKey, secretKey)
			return err
		}},
		{rowSign, colOurs, 1, func() error {
			sdkhmac.Sign(ours, body, accessKey, secretKey, when)
			return nil
		}},
	}
	signer.sign(minimal, body, when)
	sdkhmac.Sign(ours, body, accessKey, secretKey, when)
	if minimal.Header.Get("Authorization") != ours.Header.Get("Authorization") {
		return g, errors.New("the minimal signature is not ours")
	}
	return g, nil
}

// minimalSigner signs one kind of request only, one at a time: a path that needs no
// escaping, no query, and the headers that ours signs too.
type minimalSigner struct {
	mac hash.Hash // with the key worked in
}

func (m minimalSigner) sign(req *http.Request, body []byte, when time.Time) {
	const signed = "content-type;host;x-project-id;x-sdk-date"
	date := when.Format(sdkhmac.DateLayout)

	canonical := make([]byte, 0, 512)
	canonical = append(canonical, req.Method...)
	canonical = append(canonical, '\n')
	canonical = append(canonical, req.URL.Path...)
	canonical = append(canonical, "/\n\ncontent-type:"...)
	canonical = append(canonical, req.Header["Content-Type"][0]...)
	canonical = append(canonical, "\nhost:"...)
	canonical = append(canonical, req.URL.Host...)
	canonical = append(canonical, "\nx-project-id:"...)
	canonical = append(canonical, req.Header["X-Project-Id"][0]...)
	canonical = append(canonical, "\nx-sdk-date:"...)
	canonical = append(canonical, date...)
	canonical = append(canonical, "\n\n"+signed+"\n"...)
	canonical = appendHexHash(canonical, body)

	toSign := make([]byte, 0, 128)
	toSign = append(toSign, "SDK-HMAC-SHA256\n"...)
	toSign = append(toSign, date...)
	toSign = append(toSign, '\n')
	m.mac.Reset()
	m.mac.Write(appendHexHash(toSign, canonical))
	req.Header["X-Sdk-Date"] = []string{date}
	req.Header["Authorization"] = []string{"SDK-HMAC-SHA256 Access=" + accessKey +
		", SignedHeaders=" + signed + ", Signature=" + hex.EncodeToString(m.mac.Sum(nil))}
}

func appendHexHash(dst, data []byte) []byte {
	sum := sha256.Sum256(data)
	return hex.AppendEncode(dst, sum[:])
}
