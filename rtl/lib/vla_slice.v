// A register stage of a ready/valid stream that cuts it in both directions: data, valid and ready are registers.
// Does: hold two entries, accept and give one per cycle. Does not: pass data through in the same cycle.
// Latency: 1 cycle.
`default_nettype none
module vla_slice #(
  parameter Width = 8  // bits of an entry
) (
  input  wire             clk_i,
  input  wire             rst_i,
  input  wire             in_valid_i,
  output wire             in_ready_o,
  input  wire [Width-1:0] in_data_i,
  output wire             out_valid_o,
  input  wire             out_ready_i,
  output wire [Width-1:0] out_data_o
);

  reg             valid_q;
  reg [Width-1:0] data_q;
  reg             spare_valid_q;  // an entry that came while data_q was held
  reg [Width-1:0] spare_q;

  assign in_ready_o  = !spare_valid_q;
  assign out_valid_o = valid_q;
  assign out_data_o  = data_q;

  wire move = !valid_q || out_ready_i;

  always @(posedge clk_i) begin
    if (rst_i) begin
      valid_q       <= 1'b0;
      spare_valid_q <= 1'b0;
    end else begin
      if (move) valid_q <= spare_valid_q || in_valid_i;
      spare_valid_q <= !move && (spare_valid_q || in_valid_i);
    end
  end

  always @(posedge clk_i) begin
    if (move) data_q <= spare_valid_q ? spare_q : in_data_i;
    if (in_ready_o) spare_q <= in_data_i;
  end

endmodule
`default_nettype wire
