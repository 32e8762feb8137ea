package site

func (h House) usesTheRoad() int { return road() }
