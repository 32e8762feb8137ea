module github.com/apig-go/apig/internal/keystone

go 1.23.0

require github.com/stretchr/testify v1.12.1

require go.yaml.in/yaml/v3 v3.0.5 // indirect

replace github.com/apig-go/apig => ../..
