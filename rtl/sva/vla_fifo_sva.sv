// Fifo: it never holds more than Depth entries.
`default_nettype none
module vla_fifo_sva #(
  parameter Depth = 4
) (
  input wire                     clk_i,
  input wire                     rst_i,
  input wire [$clog2(Depth):0]   head_q,
  input wire [$clog2(Depth):0]   tail_q
);

  wire [$clog2(Depth):0] used = tail_q - head_q;

  never_over : assert property (
    @(posedge clk_i) disable iff (rst_i) {1'b0, used} <= Depth[$clog2(Depth)+1:0]
  ) else $error("%m: the fifo holds more than its depth");

endmodule

bind vla_fifo vla_fifo_sva #(.Depth(Depth)) u_sva (.*);
`default_nettype wire
