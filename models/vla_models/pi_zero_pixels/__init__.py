"""pi-zero style flow policy that sees pictures: a small vision tower in front of pi_zero's experts."""
