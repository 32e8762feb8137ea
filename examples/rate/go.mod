module github.com/apig-go/apig/examples/rate

go 1.25.0

require (
	github.com/apig-go/apig v0.0.0
	golang.org/x/time v0.12.0
)

require (
	github.com/go-resty/resty/v2 v2.17.2 // indirect
	golang.org/x/net v0.58.0 // indirect
)

replace github.com/apig-go/apig => ../..
