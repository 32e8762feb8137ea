package site

// garden and road.go use each other, the one through an interface.
func garden(r interface{ length() int }) int { return r.length() + road() }

func grass() { garden(nil) }
