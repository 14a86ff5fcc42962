// The averages' records that one of the two pixels used last: four, by the low bits of their number.
// Does: say whether record `index_i` is held and give its multiplier and shift; take a record in.
// Does not: read the parameter memory (`vla_vector_records`).
// Latency: look-up combinational, a filled record is found from the next cycle on.
`default_nettype none
module vla_vector_record_cache (
  input  wire        clk_i,
  input  wire        rst_i,
  input  wire        clear_i,
  input  wire [21:0] index_i,
  output wire        hit_o,
  output wire [23:0] mult_o,
  output wire [5:0]  shift_o,
  input  wire        fill_i,   // record `index_i` arrives
  input  wire [23:0] fill_mult_i,
  input  wire [5:0]  fill_shift_i
);

  reg [3:0]  valid_q;
  reg [19:0] tag_q    [0:3];
  reg [29:0] record_q [0:3];

  wire [1:0] line = index_i[1:0];

  assign hit_o = valid_q[line] && tag_q[line] == index_i[21:2];
  assign {mult_o, shift_o} = record_q[line];

  always @(posedge clk_i) begin
    if (rst_i || clear_i) valid_q <= 4'd0;
    else if (fill_i) valid_q[line] <= 1'b1;
  end

  always @(posedge clk_i) begin
    if (fill_i) begin
      tag_q[line]    <= index_i[21:2];
      record_q[line] <= {fill_mult_i, fill_shift_i};
    end
  end

endmodule
`default_nettype wire
