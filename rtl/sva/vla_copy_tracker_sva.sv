// Tracker of a COPY engine: what retires or fails was dealt, and no packet comes while two are held.
`default_nettype none
module vla_copy_tracker_sva #(
  parameter int Movers    = 1,
  parameter int CountBits = 8
) (
  input wire                 clk_i,
  input wire                 rst_i,
  input wire                 accept_i,
  input wire                 ready_o,
  input wire [Movers-1:0]    retire_i,
  input wire [Movers-1:0]    error_i,
  input wire [Movers-1:0]    retire_tag_i,
  input wire [CountBits-1:0] count0_q,
  input wire [CountBits-1:0] count1_q
);

  accept_when_ready : assert property (
    @(posedge clk_i) disable iff (rst_i) accept_i |-> ready_o
  ) else $error("%m: a packet comes while there is no room");

  for (genvar m = 0; m < Movers; m++) begin : g_mover
    piece_was_dealt : assert property (
      @(posedge clk_i) disable iff (rst_i)
      retire_i[m] || error_i[m] |-> (retire_tag_i[m] ? count1_q : count0_q) != '0
    ) else $error("%m: a piece retires or fails that was not dealt");
  end

endmodule

bind vla_copy_tracker vla_copy_tracker_sva #(.Movers(Movers), .CountBits(CountBits)) u_sva (.*);
`default_nettype wire
