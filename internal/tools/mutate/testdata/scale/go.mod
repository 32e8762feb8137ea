module example.com/scale

go 1.25.0
