// A flag a fixed number of cycles later, low after reset: valid bits beside a pipeline that does not stall.
// Does not: stall.
// Latency: Cycles.
`default_nettype none
module vla_flags #(
  parameter Cycles = 2  // at least 2
) (
  input  wire clk_i,
  input  wire rst_i,
  input  wire flag_i,
  output wire flag_o
);

  reg [Cycles-1:0] flag_q;

  assign flag_o = flag_q[Cycles-1];

  always @(posedge clk_i) begin
    if (rst_i) flag_q <= {Cycles{1'b0}};
    else flag_q <= {flag_q[Cycles-2:0], flag_i};
  end

endmodule
`default_nettype wire
