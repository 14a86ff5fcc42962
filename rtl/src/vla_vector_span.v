// Cut one dimension of a POOL window to the input.
// Does: from the window's first position (negative in the padding) and its length give the first position
// and the number of positions inside 0..size-1.
// Does not: know rows from pixels.
// Latency: combinational.
`default_nettype none
module vla_vector_span (
  input  wire signed [19:0] position_i,
  input  wire        [10:0] length_i,
  input  wire        [13:0] size_i,
  output wire        [13:0] first_o,
  output wire        [10:0] count_o    // 0: none is inside
);

  wire signed [19:0] zero   = 20'sd0;
  wire signed [19:0] size   = {6'd0, size_i};
  wire signed [19:0] length = {9'd0, length_i};
  wire signed [19:0] first  = position_i < zero ? zero : position_i;
  wire signed [19:0] beyond = position_i + length < size ? position_i + length : size;
  wire signed [19:0] count  = beyond > first ? beyond - first : zero;

  wire [14:0] upper_unused = {first[19:14], count[19:11]};
  assign first_o = first[13:0];
  assign count_o = count[10:0];

endmodule
`default_nettype wire
