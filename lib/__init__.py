"""The study's library: rooms that import downwards only, and on the ground floor what all share.

From the top: `report`, `study`, `evaluation`, `reward`, `airl`, then `data` beside `models`, `text`,
`grading`; each room's docstring says what is in it. Below them `files` (files that appear whole), `schema`
(the types of the parameters) and `runs` (the records of runs, and where things are).
"""
