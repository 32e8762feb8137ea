package site

// Roof is declared after House.
type Roof struct{ tiles int }

func (r *Roof) cover() int { return House{Rooms: rooms}.Rooms }
