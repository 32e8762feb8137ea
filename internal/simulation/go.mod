module github.com/apig-go/apig/internal/simulation

go 1.25.0

require (
	github.com/anishathalye/porcupine v1.3.1
	github.com/apig-go/apig v0.0.0
)

require (
	github.com/go-resty/resty/v2 v2.17.2 // indirect
	golang.org/x/net v0.58.0 // indirect
)

replace github.com/apig-go/apig => ../..
