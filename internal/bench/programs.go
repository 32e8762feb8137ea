package main

// program is a small program that publishes one API: about the least that can be
// written with a client.
type program struct {
	column string
	vendor string // the paths of what is counted as the client's own lines, below vendor/
	source string
}

var programs = []program{
	{colPlain, "", `package main

import (
	"fmt"
	"log"
	"net/http"
	"os"
	"strings"
)

func main() {
	req, err := http.NewRequest("POST", os.Getenv("GATEWAY")+"/apis/action",
		strings.NewReader(fmt.Sprintf("{\"action\":\"online\",\"api_id\":%q,\"env_id\":%q}", os.Getenv("API"), os.Getenv("ENV"))))
	if err != nil {
		log.Fatal(err)
	}
	req.Header.Set("X-Auth-Token", os.Getenv("TOKEN"))
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		log.Fatal(err)
	}
	defer resp.Body.Close()
	fmt.Println(resp.Status)
}
`},
	{colResty, "github.com/go-resty", `package main

import (
	"fmt"
	"log"
	"os"

	"github.com/go-resty/resty/v2"
)

func main() {
	resp, err := resty.New().R().
		SetHeader("X-Auth-Token", os.Getenv("TOKEN")).
		SetBody(map[string]string{"action": "online", "api_id": os.Getenv("API"), "env_id": os.Getenv("ENV")}).
		Post(os.Getenv("GATEWAY") + "/apis/action")
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(resp.Status())
}
`},
	{colOfficial, "github.com/huaweicloud", `package main

import (
	"fmt"
	"log"
	"os"

	"github.com/huaweicloud/huaweicloud-sdk-go-v3/core/auth/basic"
	apig "github.com/huaweicloud/huaweicloud-sdk-go-v3/services/apig/v2"
	"github.com/huaweicloud/huaweicloud-sdk-go-v3/services/apig/v2/model"
)

func main() {
	keys, err := basic.NewCredentialsBuilder().WithAk(os.Getenv("AK")).WithSk(os.Getenv("SK")).WithProjectId(os.Getenv("PROJECT")).SafeBuild()
	if err != nil {
		log.Fatal(err)
	}
	hc, err := apig.ApigClientBuilder().WithEndpoints([]string{os.Getenv("ENDPOINT")}).WithCredential(keys).SafeBuild()
	if err != nil {
		log.Fatal(err)
	}
	record, err := apig.NewApigClient(hc).CreateOrDeletePublishRecordForApiV2(&model.CreateOrDeletePublishRecordForApiV2Request{
		InstanceId: os.Getenv("INSTANCE"),
		Body:       &model.ApiActionInfo{Action: model.GetApiActionInfoActionEnum().ONLINE, ApiId: os.Getenv("API"), EnvId: os.Getenv("ENV")},
	})
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(record)
}
`},
	{colOurs, "github.com/apig-go", `package main

import (
	"context"
	"fmt"
	"log"
	"os"

	"github.com/apig-go/apig"
)

func main() {
	client, err := apig.New(apig.Config{
		Endpoint:   os.Getenv("ENDPOINT"),
		ProjectID:  os.Getenv("PROJECT"),
		InstanceID: os.Getenv("INSTANCE"),
		Auth:       apig.StaticToken(os.Getenv("TOKEN")),
	})
	if err != nil {
		log.Fatal(err)
	}
	record, err := client.Publish(context.Background(), apig.ActionRequest{APIID: os.Getenv("API"), EnvID: apig.EnvRelease})
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(record.VersionID)
}
`},
}
