module example.com/site

go 1.25.0
