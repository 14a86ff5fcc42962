// Semaphores: what is granted was there, and one take is granted at a time.
`default_nettype none
module vla_semaphores_sva #(
  parameter int Clients = 6
) (
  input wire                  clk_i,
  input wire                  rst_i,
  input wire [Clients*16-1:0] mask_q,
  input wire [Clients-1:0]    take_grant_o,
  input wire [15:0]           above_zero
);

  one_at_a_time : assert property (
    @(posedge clk_i) disable iff (rst_i) $onehot0(take_grant_o)
  ) else $error("%m: two takes are granted in one cycle");

  for (genvar c = 0; c < Clients; c++) begin : g_client
    grant_is_covered : assert property (
      @(posedge clk_i) disable iff (rst_i)
      take_grant_o[c] |-> (mask_q[16*c +: 16] & ~above_zero) == 16'd0
    ) else $error("%m: a semaphore at zero is taken");
  end

endmodule

bind vla_semaphores vla_semaphores_sva #(.Clients(Clients)) u_sva (.*);
`default_nettype wire
