package site

// road uses house.go, which does not use it. Its tiles is not the field of Roof.
func road() int {
	tiles := largest(rooms, 1)
	return tiles
}

func path() { grass() }
